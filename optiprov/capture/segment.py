"""A segment: one preallocated, memory-mapped file of records with consecutive sequence numbers.

    header   magic (8 bytes), sequence number of the first record (8 bytes)
    frame    length (4), CRC-32 (4), payload, padding to 4 bytes
    end      length 0: nothing more yet; length 0xFFFFFFFF: the next segment goes on

A frame whose length has its highest bit set has no sequence number: it defines a shape, which records behind
it in the same segment refer to.

A record is there from the moment its length is written, which comes last. Memory mapped shared, it survives
a SIGKILL of the process at any instruction. The file is allocated in full before use, since a write to a
sparse map on a full disk dies of SIGBUS.
"""

from __future__ import annotations

import mmap
import os
import struct
from typing import TYPE_CHECKING, Dict, Iterator, List, Optional, Tuple
from zlib import crc32

if TYPE_CHECKING:
    from pathlib import Path

_MAGIC = b"OPSPOOL1"
_HEADER = struct.Struct("<8sQ")
_FRAME = struct.Struct("<II")
_LENGTH = struct.Struct("<I")
_SEALED = 0xFFFFFFFF
_DEFINES = 0x80000000
_SUFFIX = ".seg"
FRAME_OVERHEAD_BYTES = _FRAME.size + 3 + _LENGTH.size
HEADER_BYTES = _HEADER.size

# (sequence number, payload); the payload is None where its checksum does not match.
Frame = Tuple[int, Optional[bytes]]


def segment_path(directory: Path, first: int) -> Path:
    """Return the path of the segment whose first record has this sequence number."""
    return directory / f"{first:016x}{_SUFFIX}"


def segments(directory: Path) -> List[Tuple[int, Path]]:
    """List the segments of a spool as (first sequence number, path), in order; none where it is removed."""
    found = []
    for name in _names(directory):
        try:
            first = int(name[: -len(_SUFFIX)], 16) if name.endswith(_SUFFIX) else -1
        except ValueError:
            continue
        path = segment_path(directory, first)
        if first >= 0 and path.name == name:
            found.append((first, path))
    return sorted(found)


def client_directories(root: Path) -> List[Path]:
    """List what lies below a spool directory, spools or not.

    Not by `glob`, which raises where a client removes its spool in the midst of that.
    """
    return sorted(root / name for name in _names(root))


def _names(directory: Path) -> List[str]:
    try:
        return [path.name for path in directory.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []


class SegmentWriter:
    """Appends frames to a new segment. Not thread-safe: its spool holds the lock.

    Raises:
        OSError: the file cannot be allocated in full.
    """

    def __init__(self, directory: Path, first: int, size_bytes: int) -> None:
        self.next = first
        self._size = size_bytes
        self._offset = HEADER_BYTES
        self._is_writing = False
        path = segment_path(directory, first)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, size_bytes)
            self._map = mmap.mmap(descriptor, size_bytes)
        except BaseException:
            path.unlink()
            raise
        finally:
            os.close(descriptor)
        _HEADER.pack_into(self._map, 0, _MAGIC, first)

    @property
    def room(self) -> int:
        """How many bytes, frames' overhead included, fit still."""
        return self._size - self._offset

    def define(self, number: int, shape: bytes) -> bool:
        """Append the definition of a shape; False where it does not fit."""
        return self.append(b"%d:%b" % (number, shape), _DEFINES)

    def append(self, payload: bytes, flag: int = 0) -> bool:
        """Append a record; False where it does not fit.

        A Ctrl-C may be raised between any two calls below: what an append leaves behind, the next one finds.
        """
        if self._is_writing:
            self._pass_over_interrupted()
        length = len(payload)
        offset = self._offset
        start = offset + 8
        end = start + length
        if end + FRAME_OVERHEAD_BYTES > self._size:
            return False
        self._is_writing = True
        self._map[start:end] = payload
        _LENGTH.pack_into(self._map, offset + 4, crc32(payload))
        _LENGTH.pack_into(self._map, offset, length | flag)  # last: from now on it is there
        self._offset, self.next = (end + 3) & ~3, self.next + (not flag)
        self._is_writing = False
        return True

    def _pass_over_interrupted(self) -> None:
        """Count a frame whose write was interrupted (a Ctrl-C) right after it was there for readers."""
        (length,) = _LENGTH.unpack_from(self._map, self._offset)
        if 0 < length < _SEALED:
            end = self._offset + _FRAME.size + (length & ~_DEFINES)
            self._offset, self.next = (end + 3) & ~3, self.next + (length < _DEFINES)
        self._is_writing = False

    def following(self) -> int:
        """Return the number of the next record, also where an append was interrupted."""
        if self._is_writing:
            self._pass_over_interrupted()
        return self.next

    def seal(self) -> None:
        """Say that the records go on in the next segment, and let go of the file."""
        if not self._map.closed:
            if self._is_writing:
                self._pass_over_interrupted()
            _LENGTH.pack_into(self._map, self._offset, _SEALED)
            self._size = 0  # nothing fits any more
            self._map.close()


class SegmentReader:
    """Iterates over the frames that a segment holds, and over those that come later.

    Reading takes no lock and no copy of the file: the writer may be another thread or process.

    Attributes:
        next: sequence number of the next record.
        shapes: the shapes defined so far, encoded, by their numbers.

    Raises:
        OSError: the file cannot be opened.
        ValueError: it is no segment.
    """

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._map = mmap.mmap(descriptor, 0, prot=mmap.PROT_READ)
        finally:
            os.close(descriptor)
        magic, self.next = _HEADER.unpack_from(self._map, 0) if len(self._map) >= HEADER_BYTES else (b"", 0)
        if magic != _MAGIC or segment_path(path.parent, self.next).name != path.name:
            self._map.close()
            raise ValueError(f"{path} is no spool segment")
        self._offset = HEADER_BYTES
        self.shapes: Dict[int, bytes] = {}
        self.sealed = False

    def frames(self) -> Iterator[Frame]:
        """Yield the frames from where the last call stopped to the present end."""
        held = self._map
        end = len(held) - _FRAME.size
        while self._offset <= end:
            length, checksum = _FRAME.unpack_from(held, self._offset)
            if length == 0:
                return
            start = self._offset + _FRAME.size
            defines = length != _SEALED and length & _DEFINES
            stop = start + (length & ~_DEFINES if defines else length)
            if length == _SEALED or stop > len(held):
                break
            payload = held[start:stop]
            is_whole = crc32(payload) == checksum
            self._offset = (stop + 3) & ~3
            if defines:
                self._define(payload if is_whole else b"")
                continue
            number = self.next
            self.next = number + 1
            yield number, payload if is_whole else None
        self.sealed = True

    def _define(self, payload: bytes) -> None:
        number, _, shape = payload.partition(b":")
        if number.isdigit():
            self.shapes[int(number)] = shape

    def close(self) -> None:
        """Let go of the file."""
        self._map.close()


class UnreadableSegment:
    """Stands for a file that is no segment any more (bit rot, garbage): none of its records can be read."""

    sealed = True

    def __init__(self, first: int) -> None:
        self.next = first
        self.shapes: Dict[int, bytes] = {}

    def frames(self) -> Iterator[Frame]:
        """Yield nothing."""
        return iter(())

    def close(self) -> None:
        """Do nothing: no file is held."""
