"""The files of a host that is reached by SSH: asked for one by one from what serves it."""

from __future__ import annotations

import os.path
from typing import TYPE_CHECKING, Any

from optiprov.deploy.providers.files import HostFiles, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from optiprov.deploy.providers.ssh.connection import Connection


class SshFiles(HostFiles):
    """Files of a machine.

    Args:
        connection: The connection to it.
        absolute: Gives the absolute path, as the host's processes see it.
    """

    def __init__(self, connection: Connection, absolute: Callable[[str], str]) -> None:
        self._connection = connection
        self._absolute = absolute

    def absolute(self, path: str) -> str:
        """The absolute path."""
        return os.path.normpath(self._absolute(path))

    def kind(self, path: str, *, follow: bool = False) -> Kind:
        """What there is at a path."""
        kind: Kind = self._ask("kind", self._absolute(path), follow=follow)
        return kind

    def glob(self, pattern: str) -> Sequence[str]:
        """The paths that a pattern matches."""
        found: Sequence[str] = self._ask("glob", self._absolute(pattern))
        return found

    def walk(self, path: str) -> Sequence[str]:
        """Everything below a directory."""
        absolute = self._absolute(path).rstrip("/")
        found: Sequence[str] = self._ask("walk", absolute)
        return [path.rstrip("/") + below[len(absolute) :] for below in found]

    def checksum(self, path: str) -> str | None:
        """The SHA-1 of a file."""
        checksum: str | None = self._ask("checksum", self._absolute(path))
        return checksum

    def read(self, path: str) -> bytes:
        """The content of a file."""
        return self._connection.call("read", self._absolute(path), 0, -1)[1]

    def mode(self, path: str) -> int:
        """The permission bits."""
        return int(self._ask("mode", self._absolute(path)))

    def set_mode(self, path: str, mode: int) -> None:
        """Set the permission bits."""
        self._ask("set_mode", self._absolute(path), mode)

    def set_owner(self, path: str, owner: Any, group: Any) -> bool:
        """Give it a user and a group."""
        return bool(self._ask("set_owner", self._absolute(path), owner, group))

    def make_directory(self, path: str) -> Sequence[str]:
        """Make a directory and those above it."""
        made: Sequence[str] = self._ask("make_directory", self.absolute(path))
        return made

    def touch(self, path: str) -> None:
        """Make an empty file, or set the times to now."""
        self._ask("touch", self._absolute(path))

    def remove(self, path: str) -> None:
        """Remove a file, a link, or a directory with all that it has."""
        self._ask("remove", self._absolute(path))

    def link(self, path: str, target: str, *, is_hard: bool) -> None:
        """Make a link; a symbolic one keeps the target as it is given."""
        there = self._absolute(target) if is_hard else target
        self._ask("link", self._absolute(path), there, is_hard=is_hard)

    def is_link_to(self, path: str, target: str, *, is_hard: bool) -> bool:
        """Whether a path is such a link."""
        there = self._absolute(target) if is_hard else target
        return bool(self._ask("is_link_to", self._absolute(path), there, is_hard=is_hard))

    def beside(self, path: str, target: str) -> str:
        """Where a link at a path leads with this target."""
        return os.path.join(os.path.dirname(self.absolute(path)), target)  # noqa: PTH118, PTH120  a path of the host

    def copy_directory(self, src: str, dest: str, *, content_only: bool) -> bool:
        """Copy a directory of the host, or its content, into a directory."""
        arguments = (self._absolute(src), self._absolute(dest))
        return bool(self._ask("copy_directory", *arguments, content_only=content_only))

    def _ask(self, method: str, *arguments: Any, **options: Any) -> Any:
        return self._connection.call("files", method, arguments, options)[0]
