"""A segment: one preallocated, memory-mapped file of records with consecutive sequence numbers.

    header   magic (8 bytes), sequence number of the first record (8 bytes)
    frame    length (4), CRC-32 (4), payload, padding to 4 bytes
    end      length 0: nothing more yet; length 0xFFFFFFFF: the next segment goes on

A record is there from the moment its length is written, which comes last. Memory mapped shared, it survives
a SIGKILL of the process at any instruction. The file is allocated in full before use, since a write to a
sparse map on a full disk dies of SIGBUS.
"""

from __future__ import annotations

import mmap
import os
import struct
from typing import TYPE_CHECKING, Iterator, List, Optional, Tuple
from zlib import crc32

if TYPE_CHECKING:
    from pathlib import Path

_MAGIC = b"OPSPOOL1"
_HEADER = struct.Struct("<8sQ")
_FRAME = struct.Struct("<II")
_LENGTH = struct.Struct("<I")
_SEALED = 0xFFFFFFFF
_SUFFIX = ".seg"
FRAME_OVERHEAD_BYTES = _FRAME.size + 3 + _LENGTH.size
HEADER_BYTES = _HEADER.size

# (sequence number, payload); the payload is None where its checksum does not match.
Frame = Tuple[int, Optional[bytes]]


def segment_path(directory: Path, first: int) -> Path:
    """Return the path of the segment whose first record has this sequence number."""
    return directory / f"{first:016x}{_SUFFIX}"


def segments(directory: Path) -> List[Tuple[int, Path]]:
    """List the segments of a spool as (first sequence number, path), in order."""
    found = []
    for path in directory.glob("*" + _SUFFIX):
        try:
            found.append((int(path.stem, 16), path))
        except ValueError:
            continue
    return sorted(found)


class SegmentWriter:
    """Appends frames to a new segment. Not thread-safe: its spool holds the lock.

    Raises:
        OSError: the file cannot be allocated in full.
    """

    def __init__(self, directory: Path, first: int, size_bytes: int) -> None:
        self.next = first
        self._size = size_bytes
        self._offset = HEADER_BYTES
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

    def append(self, payload: bytes) -> bool:
        """Append a frame; False where it does not fit.

        A Ctrl-C may be raised between any two calls below: what an append leaves behind, the next one finds.
        """
        if self._map.closed:
            return False
        self._pass_over_interrupted()
        length = len(payload)
        start = self._offset + 8
        end = start + length
        if end + FRAME_OVERHEAD_BYTES > self._size:
            return False
        self._map[start:end] = payload
        _LENGTH.pack_into(self._map, self._offset + 4, crc32(payload))
        _LENGTH.pack_into(self._map, self._offset, length)
        self._offset, self.next = (end + 3) & ~3, self.next + 1
        return True

    def _pass_over_interrupted(self) -> None:
        """Count a frame whose append was interrupted (a Ctrl-C) right after it was there for readers."""
        (length,) = _LENGTH.unpack_from(self._map, self._offset)
        if 0 < length < _SEALED:
            self._offset, self.next = (self._offset + _FRAME.size + length + 3) & ~3, self.next + 1

    def seal(self) -> None:
        """Say that the records go on in the next segment, and let go of the file."""
        if not self._map.closed:
            self._pass_over_interrupted()
            _LENGTH.pack_into(self._map, self._offset, _SEALED)
            self._map.close()


class SegmentReader:
    """Iterates over the frames that a segment holds, and over those that come later.

    Reading takes no lock and no copy of the file: the writer may be another thread or process.

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
        if magic != _MAGIC:
            self._map.close()
            raise ValueError(f"{path} is no spool segment")
        self._offset = HEADER_BYTES
        self.sealed = False

    def frames(self) -> Iterator[Frame]:
        """Yield the frames from where the last call stopped to the present end."""
        while self._offset + _LENGTH.size <= len(self._map):
            (length,) = _LENGTH.unpack_from(self._map, self._offset)
            if length == 0:
                return
            start = self._offset + _FRAME.size
            if length == _SEALED or start + length > len(self._map):
                self.sealed = True
                return
            payload = self._map[start : start + length]
            (checksum,) = _LENGTH.unpack_from(self._map, self._offset + 4)
            number = self.next
            self.next += 1
            self._offset = (start + length + 3) & ~3
            yield number, payload if crc32(payload) == checksum else None
        self.sealed = True

    def close(self) -> None:
        """Let go of the file."""
        self._map.close()
