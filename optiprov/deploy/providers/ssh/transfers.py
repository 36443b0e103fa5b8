"""Files between this machine and one that is reached by SSH; what is there already is not sent again."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from optiprov.deploy.providers.ssh.connection import Connection

BLOCK_BYTES = 1 << 20
_OPEN = 0o700
AHEAD = 8
"""So many blocks are under way at a time."""


class Transfers:
    """Copies files to and from a machine.

    Args:
        connection: The connection to it.
        arriving: The directory there where long files lie until they are complete.
    """

    def __init__(self, connection: Connection, arriving: str) -> None:
        self._connection = connection
        self._arriving = arriving

    def write(
        self, source: bytes | Path, target: str, *, name: str, mode: int | None, mtime_ns: int | None = None
    ) -> None:
        """Write a file as a whole; below the target as `name` if that is a directory or ends with a slash.

        Raises:
            OSError: It cannot be read here, or not be written there.
        """
        self._begin_write(source, target, name=name, mode=mode, mtime_ns=mtime_ns).result()

    def put_directory(self, source: Path, target: str) -> int:
        """Copy what a directory contains, with permissions and times; links become what they lead to.

        Returns:
            How many files were sent: those whose content is there already were not.

        Raises:
            OSError: Something cannot be read here, or not be written there.
        """
        directories, files = _below(source)
        self._connection.call(
            "directories", target, {name: mode | _OPEN for name, mode in directories.items()}
        )
        checksums = {name: _checksum(source / name) for name in files}
        differing = self._connection.call("differing", target, checksums)[0]
        for name in set(files) - set(differing):
            self._connection.begin(
                "files", "set_mode", [f"{target}/{name}", files[name].st_mode & 0o7777], {}
            )
        under_way: deque[Future[Any]] = deque()
        for name in differing:
            status = files[name]
            under_way.append(
                self._begin_write(
                    source / name,
                    f"{target}/{name}",
                    name="",
                    mode=status.st_mode & 0o7777,
                    mtime_ns=status.st_mtime_ns,
                )
            )
            while len(under_way) > AHEAD:
                under_way.popleft().result()
        while under_way:
            under_way.popleft().result()
        closed = {name: mode for name, mode in directories.items() if mode & _OPEN != _OPEN}
        if closed:
            self._connection.call("directories", target, dict(reversed(closed.items())))
        return len(differing)

    def fetch(self, src: str, target: Path) -> None:
        """Copy a file or directory of the machine here, with permissions and times.

        Raises:
            FileNotFoundError: There is no such file.
            OSError: It cannot be read there, or not be written here.
        """
        tree = self._connection.call("tree", src)[0]
        for name, is_directory, size, mode, mtime_ns in tree:
            if Path(name).is_absolute() or os.pardir in Path(name).parts:
                raise OSError(
                    f"{src}: the machine names a file outside of it, {name!r}, which is not fetched"
                )
            place = target / name if name else target
            if is_directory:
                place.mkdir(parents=True, exist_ok=True)
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            self._fetch_file(f"{src}/{name}" if name else src, place, size)
            place.chmod(mode)
            os.utime(place, ns=(mtime_ns, mtime_ns))

    def _fetch_file(self, src: str, place: Path, size: int) -> None:
        """Fetch a file; one that grows meanwhile as far as it went at first."""
        under_way: deque[Future[Any]] = deque()
        with place.open("wb") as file:
            if size == 0:  # or one of those that the kernel makes as they are read
                file.write(self._connection.call("read", src, 0, -1)[1])
            for offset in range(0, size, BLOCK_BYTES):
                length = min(BLOCK_BYTES, size - offset)
                under_way.append(self._connection.begin("read", src, offset, length))
                while len(under_way) > AHEAD:
                    file.write(under_way.popleft().result()[1])
            while under_way:
                file.write(under_way.popleft().result()[1])

    def _begin_write(
        self, source: bytes | Path, target: str, *, name: str, mode: int | None, mtime_ns: int | None
    ) -> Future[Any]:
        size = len(source) if isinstance(source, bytes) else source.stat().st_size
        if size <= BLOCK_BYTES:
            content = source if isinstance(source, bytes) else source.read_bytes()
            return self._connection.begin("write", target, name, mode, mtime_ns, None, payload=content)
        arriving = f"{self._arriving}/{uuid.uuid4().hex}"
        under_way: deque[Future[Any]] = deque()
        for block in _blocks(source):
            under_way.append(self._connection.begin("append", arriving, payload=block))
            while len(under_way) > AHEAD:
                under_way.popleft().result()
        while under_way:
            under_way.popleft().result()
        return self._connection.begin("write", target, name, mode, mtime_ns, arriving)


def _blocks(source: bytes | Path) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield from (source[at : at + BLOCK_BYTES] for at in range(0, len(source), BLOCK_BYTES))
        return
    with source.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            yield block


def _below(source: Path) -> tuple[dict[str, int], dict[str, os.stat_result]]:
    """The directories below one and itself, with their modes, and the files with what is known of them."""
    directories: dict[str, int] = {}
    files: dict[str, os.stat_result] = {}
    for place, _, names in os.walk(source, followlinks=True):
        below = Path(place).relative_to(source)
        directories["" if below == Path() else str(below)] = Path(place).stat().st_mode & 0o7777
        files |= {str(below / name): Path(place, name).stat() for name in names}
    return directories, files


def _checksum(path: Path) -> str:
    digest = hashlib.sha1(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
