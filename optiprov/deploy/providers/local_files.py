"""The files of a local host: those of this machine, elsewhere.

It runs on hosts that are reached by SSH too (`optiprov.deploy.remote`): it keeps to Python 3.8.
"""

from __future__ import annotations

import filecmp
import glob
import hashlib
import os
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optiprov.deploy.providers.files import HostFiles, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BLOCK_BYTES = 1 << 20
_sha1 = hashlib.sha1 if sys.version_info < (3, 9) else partial(hashlib.sha1, usedforsecurity=False)


class LocalFiles(HostFiles):
    """Files of a host that is a directory of this machine.

    Args:
        absolute: Gives the absolute path, as the host's processes see it.
        outside: Gives the place on this machine of a path of the host.
    """

    def __init__(self, absolute: Callable[[str], str], outside: Callable[[str], Path]) -> None:
        self._absolute = absolute
        self._outside = outside

    def absolute(self, path: str) -> str:
        """The absolute path, as the host's processes see it."""
        return os.path.normpath(self._absolute(path))

    def kind(self, path: str, *, follow: bool = False) -> Kind:
        """What there is at a path."""
        place = self._outside(path)
        if place.is_symlink() and not follow:
            return "link"
        if not place.exists():
            return "absent"
        return "directory" if place.is_dir() else "file" if place.is_file() else "other"

    def glob(self, pattern: str) -> Sequence[str]:
        """The paths that a pattern matches, relative ones to the pattern's directory."""
        if not glob.has_magic(pattern):
            return [pattern] if os.path.lexists(self._outside(pattern)) else []
        return sorted(glob.glob(str(self._outside(pattern))))  # noqa: PTH207  the whole path is a pattern

    def walk(self, path: str) -> Sequence[str]:
        """Everything below a directory."""
        place = self._outside(path)
        return [f"{path.rstrip('/')}/{below.relative_to(place)}" for below in place.rglob("*")]

    def checksum(self, path: str) -> str | None:
        """The SHA-1 of a file."""
        place = self._outside(path)
        if not place.is_file():
            return None
        digest = _sha1()
        with place.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                digest.update(block)
        return digest.hexdigest()

    def read(self, path: str) -> bytes:
        """The content of a file."""
        return self._outside(path).read_bytes()

    def mode(self, path: str) -> int:
        """The permission bits."""
        return self._outside(path).stat().st_mode & 0o7777

    def set_mode(self, path: str, mode: int) -> None:
        """Set the permission bits."""
        self._outside(path).chmod(mode)

    def set_owner(self, path: str, owner: Any, group: Any) -> bool:
        """Give it a user and a group."""
        place = self._outside(path)
        before = place.stat()
        shutil.chown(place, _id_or_name(owner), _id_or_name(group))
        after = place.stat()
        return (before.st_uid, before.st_gid) != (after.st_uid, after.st_gid)

    def make_directory(self, path: str) -> Sequence[str]:
        """Make a directory and those above it."""
        absolute = Path(self.absolute(path))
        missing = [one for one in (absolute, *absolute.parents) if not self._outside(str(one)).exists()]
        for one in reversed(missing):
            self._outside(str(one)).mkdir(exist_ok=True)
        return [str(one) for one in reversed(missing)]

    def touch(self, path: str) -> None:
        """Make an empty file, or set the times to now."""
        self._outside(path).touch()

    def remove(self, path: str) -> None:
        """Remove a file, a link, or a directory with all that it has."""
        place = self._outside(path)
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        else:
            place.unlink()

    def link(self, path: str, target: str, *, is_hard: bool) -> None:
        """Make a link; a symbolic one keeps the target as the host's processes see it."""
        if is_hard:
            os.link(self._outside(target), self._outside(path))
        else:
            self._outside(path).symlink_to(target)

    def is_link_to(self, path: str, target: str, *, is_hard: bool) -> bool:
        """Whether a path is such a link."""
        place = self._outside(path)
        if not is_hard:
            return place.is_symlink() and os.readlink(place) == target  # noqa: PTH115  Python 3.8
        there = self._outside(target)
        return place.exists() and there.exists() and place.samefile(there)

    def beside(self, path: str, target: str) -> str:
        """Where a link at a path leads with this target."""
        return os.path.join(os.path.dirname(self.absolute(path)), target)  # noqa: PTH118, PTH120  a path of the host

    def copy_directory(self, src: str, dest: str, *, content_only: bool) -> bool:
        """Copy a directory of the host, or its content, into a directory."""
        source, target = self._outside(src), self._outside(dest)
        if not content_only:
            target /= source.name
        found = [path for path in source.rglob("*") if path.is_file()]
        pairs = [(path, target / path.relative_to(source)) for path in found]
        if target.is_dir() and all(
            there.is_file() and filecmp.cmp(here, there, shallow=False) for here, there in pairs
        ):
            return False
        shutil.copytree(source, target, dirs_exist_ok=True)
        return True


def _id_or_name(who: Any) -> Any:
    """None, a number, or a name as `shutil.chown` takes them."""
    return int(who) if isinstance(who, int) or str(who).isdigit() else who
