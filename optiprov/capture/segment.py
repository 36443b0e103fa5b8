"""A segment: one preallocated, memory-mapped file of records with consecutive sequence numbers.

    header   magic (8 bytes), sequence number of the first record (8), number of slots (4),
             how many are used (4), 0 until the segment is sealed; how many shapes are defined (4);
             from then on, CRC-32 of each group of slots
    slots    one for each record, in order: `optiprov.wire.slots`
    heap     frames: length (4), CRC-32 (4), payload, padding to 4 bytes

Packed rows lie in their slots, the payloads of other records in the heap. A frame whose length has its
highest bit set defines a shape, which rows of the same segment refer to.

A record is there from the moment the marker of its slot is written, which comes last. Memory mapped shared,
it survives a SIGKILL of the process at any instruction. The file is allocated in full before use, since a
write to a sparse map on a full disk dies of SIGBUS.

A slot is taken from an iterator by a `for` statement, and written without a call: CPython lets nothing come
in between, no other thread and no signal handler, so that packed rows need no lock. Checksums of the slots
come when the segment is sealed; the last segment of a client that was killed has none.
"""

from __future__ import annotations

import mmap
import operator
import os
import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Dict, List, Optional, Set, Tuple
from zlib import crc32

from optiprov.wire.slots import ELSEWHERE, ROW_BYTES, SLOT_BYTES, elsewhere_slot, encode_marker, markers

if TYPE_CHECKING:
    from pathlib import Path

_MAGIC = b"OPSPOOL2"
_HEADER = struct.Struct("<8sQIII4x")
_USED_PLACE = 20
_DEFINED_PLACE = 24
GROUP = 64
"""So many slots have a checksum together."""
_FRAME = struct.Struct("<II")
_LENGTH = struct.Struct("<I")
_DEFINES = 0x80000000
_LONGEST = _DEFINES - 1
_SUFFIX = ".seg"
_ELSEWHERE = encode_marker(ELSEWHERE)
_ZEROS = bytes(1 << 16)
FRAME_OVERHEAD_BYTES = _FRAME.size + 3 + _LENGTH.size


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


def _heap_place(slot_count: int) -> int:
    return _slots_place(slot_count) + slot_count * SLOT_BYTES


def _slots_place(slot_count: int) -> int:
    groups = -(-slot_count // GROUP)
    return -(-(_HEADER.size + 4 * groups) // 8) * 8


@lru_cache(maxsize=1)
def _places_of_slots(slot_count: int) -> List[Tuple[slice, slice]]:
    """Return where the row and the marker of each slot of a segment lie.

    Made before, since an allocation may run others' finalizers, which would come between taking a slot and
    writing it.
    """
    begin = _slots_place(slot_count)
    return [
        (slice(place, place + ROW_BYTES), slice(place + ROW_BYTES, place + SLOT_BYTES))
        for place in range(begin, begin + slot_count * SLOT_BYTES, SLOT_BYTES)
    ]


class SegmentWriter:
    """Appends records to a new segment.

    Packed rows are written through `slots` by anyone; all else by its spool, which holds the lock.

    Args:
        directory: of the spool.
        first: sequence number of the first record.
        slot_count: how many records it holds.
        heap_bytes: how much room their payloads have.

    Attributes:
        slots: where the slots lie that are not taken yet: of each, its row and its marker in `map`.
        map: the file.

    Raises:
        OSError: the file cannot be allocated in full.
    """

    def __init__(self, directory: Path, first: int, slot_count: int, heap_bytes: int) -> None:
        self.first = first
        self._count = slot_count
        self._begin = _slots_place(slot_count)
        self._offset = _heap_place(slot_count)
        self._size = self._offset + heap_bytes
        self._is_writing = False
        self._defined = 0
        self._used: Optional[int] = None
        path = segment_path(directory, first)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, self._size)
            for start in range(0, self._offset, len(_ZEROS)):  # a fault of each page costs ten times as much
                os.pwrite(descriptor, _ZEROS[: self._offset - start], start)
            self.map = mmap.mmap(descriptor, self._size)
        except BaseException:
            path.unlink()
            raise
        finally:
            os.close(descriptor)
        _HEADER.pack_into(self.map, 0, _MAGIC, first, slot_count, 0, 0)
        self.slots = iter(_places_of_slots(slot_count))

    @staticmethod
    def size(slot_count: int, heap_bytes: int) -> int:
        """Return how many bytes such a segment takes."""
        return _heap_place(slot_count) + heap_bytes

    @property
    def next(self) -> int:
        """Sequence number of the next record."""
        used = self._used if self._used is not None else self._count - operator.length_hint(self.slots)
        return self.first + used

    @property
    def room(self) -> int:
        """How many bytes of frames, overhead included, fit still; 0 where no slot is left."""
        return self._size - self._offset if operator.length_hint(self.slots) else 0

    def define(self, number: int, shape: bytes) -> None:
        """Append the definition of a shape, for which there is room."""
        self._put(b"%d:%b" % (number, shape), _DEFINES)
        self._defined += 1
        _LENGTH.pack_into(self.map, _DEFINED_PLACE, self._defined)

    def append(self, payload: bytes) -> bool:
        """Append a record that is no packed row; False where it does not fit."""
        if len(payload) + FRAME_OVERHEAD_BYTES > self.room:
            return False
        place, checksum = self._put(payload)
        row = elsewhere_slot.pack(place, len(payload), checksum)
        for row_at, marker_at in self.slots:
            self.map[row_at] = row
            self.map[marker_at] = _ELSEWHERE
            return True
        return False  # packed rows took the last one meanwhile

    def _put(self, payload: bytes, flag: int = 0) -> Tuple[int, int]:
        """Append a frame; return where its payload lies, and its checksum.

        A Ctrl-C may be raised between any two calls below: what it leaves behind, the next one finds.
        """
        if self._is_writing:
            self._pass_over_interrupted()
        offset = self._offset
        start = offset + _FRAME.size
        end = start + len(payload)
        checksum = crc32(payload)
        self._is_writing = True
        self.map[start:end] = payload
        _LENGTH.pack_into(self.map, offset + 4, checksum)
        _LENGTH.pack_into(self.map, offset, len(payload) | flag)  # last: from now on it is there
        self._offset = (end + 3) & ~3
        self._is_writing = False
        return start, checksum

    def _pass_over_interrupted(self) -> None:
        """Leave a frame alone whose write was interrupted (a Ctrl-C) right after it was there for readers."""
        (length,) = _LENGTH.unpack_from(self.map, self._offset)
        if length:
            self._offset = (self._offset + _FRAME.size + (length & _LONGEST) + 3) & ~3
        self._is_writing = False

    def seal(self) -> None:
        """Take no more records, say how many there are, and leave checksums of the packed rows."""
        if self._used is not None:
            return
        left = list(self.slots)
        self._used = self._count - len(left)
        end = self._begin + self._used * SLOT_BYTES
        for number, start in enumerate(range(self._begin, end, GROUP * SLOT_BYTES)):
            group = self.map[start : min(end, start + GROUP * SLOT_BYTES)]
            _LENGTH.pack_into(self.map, _HEADER.size + 4 * number, crc32(group))
        _LENGTH.pack_into(self.map, _USED_PLACE, self._used)

    def forget(self) -> None:
        """Take no more records, and change nothing: the file is the parent process's."""
        self._used = self._count - len(list(self.slots))


class SegmentReader:
    """Reads the slots that a segment has, and those that come later.

    Reading takes no lock and no copy of the file: the writer may be another thread or process.

    Attributes:
        first: sequence number of the first record.

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
        self._count: int
        magic, self.first, self._count, _, _ = (
            _HEADER.unpack_from(self._map, 0) if len(self._map) >= _HEADER.size else (b"", 0, 0, 0, 0)
        )
        self._begin, self._heap = _slots_place(self._count), _heap_place(self._count)
        is_whole = magic == _MAGIC and self._count and self._heap <= len(self._map)
        if not is_whole or segment_path(path.parent, self.first).name != path.name:
            self._map.close()
            raise ValueError(f"{path} is no spool segment")
        self._shapes: Dict[int, bytes] = {}
        self._frame = self._heap  # from where on definitions are still to be looked for

    @property
    def used(self) -> int:
        """How many records a sealed segment has, 0 where it is not sealed."""
        return min(self._number(_USED_PLACE), self._count)

    @property
    def written(self) -> int:
        """How many slots there are, sealed or not, up to the last one that is written."""
        found = self.markers(0, self._count)
        while found and not found[-1]:
            found.pop()
        return max(len(found), self.used)

    @property
    def shapes(self) -> Dict[int, bytes]:
        """The shapes defined so far, encoded, by their numbers."""
        if len(self._shapes) < self._number(_DEFINED_PLACE):
            self._read_definitions()
        return self._shapes

    def markers(self, start: int, stop: int) -> List[int]:
        """Return the markers of slots, 0 for one that is not there."""
        return markers(self.slots(start, min(stop, self._count))) if start < self._count else []

    def slots(self, start: int, stop: int) -> bytes:
        """Return slots as they are."""
        return self._map[self._begin + start * SLOT_BYTES : self._begin + stop * SLOT_BYTES]

    def payload(self, index: int) -> Optional[bytes]:
        """Return the payload of a record that is no packed row; None where it is damaged."""
        place, length, checksum = elsewhere_slot.unpack_from(self._map, self._begin + index * SLOT_BYTES)
        payload = self._map[place : place + length] if self._heap < place <= len(self._map) else b""
        return payload if len(payload) == length and crc32(payload) == checksum else None

    def damaged_groups(self) -> Set[int]:
        """Return the groups of slots of a sealed segment whose checksums do not match."""
        used = self.used
        return {
            number
            for number, start in enumerate(range(0, used, GROUP))
            if crc32(self.slots(start, min(used, start + GROUP))) != self._number(_HEADER.size + 4 * number)
        }

    def _number(self, place: int) -> int:
        number: int
        (number,) = _LENGTH.unpack_from(self._map, place)
        return number

    def _read_definitions(self) -> None:
        end = len(self._map) - _FRAME.size
        while self._frame <= end:
            length, checksum = _FRAME.unpack_from(self._map, self._frame)
            start = self._frame + _FRAME.size
            stop = start + (length & _LONGEST)
            if length == 0 or stop > len(self._map):
                return
            if length & _DEFINES and crc32(self._map[start:stop]) == checksum:
                number, _, shape = self._map[start:stop].partition(b":")
                self._shapes[int(number)] = shape
            self._frame = (stop + 3) & ~3

    def close(self) -> None:
        """Let go of the file."""
        self._map.close()


class UnreadableSegment:
    """Stands for a file that is no segment any more (bit rot, garbage): none of its records can be read."""

    def __init__(self) -> None:
        self.used = 0
        self.shapes: Dict[int, bytes] = {}

    def markers(self, _start: int, _stop: int) -> List[int]:
        """Return nothing."""
        return []

    def slots(self, start: int, stop: int) -> bytes:
        """Return slots of which none is written."""
        return bytes((stop - start) * SLOT_BYTES)

    def payload(self, _index: int) -> Optional[bytes]:
        """Return nothing."""
        return None

    def close(self) -> None:
        """Do nothing: no file is held."""
