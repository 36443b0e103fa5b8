"""Reads a spool, of a live client as of one that is gone.

Damage stalls nothing: what a segment cannot give is counted, one lost record for each number that is missing,
and the next segment goes on.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Dict, List, NamedTuple, Optional, Set, Union

from optiprov.capture.segment import GROUP, SegmentReader, UnreadableSegment, segment_path, segments
from optiprov.records import Lost
from optiprov.wire import encode_record
from optiprov.wire.slots import ELSEWHERE, SLOT_BYTES

if TYPE_CHECKING:
    from pathlib import Path

_UNREADABLE = encode_record(
    Lost(1, "the spooled record does not match its checksum, or its segment is damaged")
)
_LOOK_EVERY_S = 1.0  # for the segment behind one that seems to go on
_GIVE_UP_S = 10.0  # on a record that is not there though later ones are; its call did not return
_Segment = Union[SegmentReader, UnreadableSegment]
_NO_SHAPES: Dict[int, bytes] = {}


class Chunk(NamedTuple):
    """Consecutive records of one segment.

    Attributes:
        first: the sequence number of the first.
        records: the records, encoded; None for one that is a packed row.
        slots: the slots of all of them, where one is packed.
    """

    first: int
    records: List[Optional[bytes]]
    slots: bytes


class SpoolReader:
    """Reads the records of a spool in order, from any number on. Not thread-safe.

    Args:
        directory: of the spool.
        has_ended: whether its client is gone: checksums are verified then, and what is not there never comes.
    """

    def __init__(self, directory: Path, *, has_ended: bool = False) -> None:
        self.directory = directory
        self._has_ended = has_ended
        self._segment: Optional[_Segment] = None
        self._first = 1  # of the present segment
        self._end: Optional[int] = None  # where the segment behind it begins: it is complete
        self._damaged: Set[int] = set()  # groups of slots of the present segment
        self._looked_at = 0.0
        self._waiting_since: Optional[float] = None  # for a record that is not there though later ones are
        self.next = 1

    def seek(self, number: int) -> None:
        """Read from this number on, or from the oldest that is there."""
        self._close()
        self.next = number

    def oldest(self) -> int:
        """Return the lowest number that the spool still holds, or the next one where it holds none."""
        held = segments(self.directory)
        return held[0][0] if held else self.next

    def has_more(self) -> bool:
        """Whether `read` would return records."""
        while self._is_open():
            if self._there(1):
                return True
            if not self._leave_segment():
                break
        return False

    def read(self, max_records: int, max_bytes: int) -> Chunk:
        """Return the records that follow, of one segment, up to both bounds; none where none is there."""
        while self._is_open():
            found = self._there(max_records)
            if found and self._segment is not None:
                chunk = self._chunk(self._segment, found, max_bytes)
                self.next = chunk.first + len(chunk.records)
                return chunk
            if not self._leave_segment():
                break
        return Chunk(self.next, [], b"")

    @property
    def shapes(self) -> Dict[int, bytes]:
        """The shapes, encoded and by number, that the records read last may refer to."""
        return self._segment.shapes if self._segment is not None else _NO_SHAPES

    def _there(self, max_records: int) -> List[int]:
        """Return the markers of the records that follow and can be read, or never will be."""
        segment = self._segment
        if segment is None:
            return []
        start = self.next - self._first
        complete = segment.used if self._end is None else self._end - self._first  # before the markers
        found = segment.markers(start, start + max(max_records, 2))
        if complete:
            found = found[: complete - start]
            missing = min(max_records, complete - start) - len(found)
            return found[:max_records] + [0] * missing
        if 0 in found and not self._is_given_up(found):
            del found[found.index(0) :]
        return found[:max_records]

    def _is_given_up(self, found: List[int]) -> bool:
        """Whether the next record is missing for good; those behind it, as far as they are there, remain."""
        while found and not found[-1]:
            found.pop()
        if not found or found[0]:
            self._waiting_since = None
            return 0 not in found
        now = time.monotonic()
        if self._waiting_since is None:
            self._waiting_since = now
        if not self._has_ended and now - self._waiting_since < _GIVE_UP_S:
            return False
        del found[1:]
        return True

    def _chunk(self, segment: _Segment, found: List[int], max_bytes: int) -> Chunk:
        start = self.next - self._first
        shapes = segment.shapes
        if not self._damaged and shapes.keys() >= set(found):
            return Chunk(self.next, [None] * len(found), segment.slots(start, start + len(found)))
        records: List[Optional[bytes]] = []
        size = 0
        for index, marker in enumerate(found, start):
            if marker in shapes and index // GROUP not in self._damaged:
                records.append(None)
                continue
            payload = segment.payload(index) if marker == ELSEWHERE else None
            record = _UNREADABLE if payload is None else payload
            records.append(record)
            size += len(record)
            if size >= max_bytes:
                break
        return Chunk(self.next, records, _packed_slots(segment.slots(start, start + len(records)), records))

    def _is_open(self) -> bool:
        if self._segment is None:
            self._segment = self._open()
        return self._segment is not None

    def _leave_segment(self) -> bool:
        """Leave a segment that is at its end; False where it may go on."""
        if self._end is None:
            self._end = self._following()
            return self._end is not None  # read once more: what came before the next segment was made
        self.next = max(self.next, self._end)
        self._close()
        return True

    def _following(self) -> Optional[int]:
        """Return where the segment behind the present one begins; a killed writer sealed neither."""
        if not (
            (self._segment is not None and self._segment.used)
            or segment_path(self.directory, self.next).exists()
            or time.monotonic() - self._looked_at > _LOOK_EVERY_S  # its slots may be damaged
        ):
            return None
        self._looked_at = time.monotonic()
        return min((first for first, _ in segments(self.directory) if first > self._first), default=None)

    def _open(self) -> Optional[_Segment]:
        held = segments(self.directory)
        candidates = [one for one in held if one[0] <= self.next]
        if candidates:
            first, path = candidates[-1]
        elif held:
            first, path = held[0]
            self.next = first
        else:
            return None
        self._first = first
        self._end = min((other for other, _ in held if other > first), default=None)
        try:
            segment = SegmentReader(path)
        except ValueError:  # it is being made, or it is damaged
            return UnreadableSegment() if self._end is not None else None
        except OSError:  # it has just been acknowledged and removed
            return None
        self._damaged = segment.damaged_groups() if self._has_ended else set()
        return segment

    def _close(self) -> None:
        if self._segment is not None:
            self._segment.close()
            self._segment = None
        self._end = self._waiting_since = None
        self._damaged = set()

    close = _close


def _packed_slots(slots: bytes, records: List[Optional[bytes]]) -> bytes:
    """Return slots with those of packed rows only, nothing where there are none."""
    if None not in records:
        return b""
    kept = bytearray(slots)
    for index, record in enumerate(records):
        if record is not None:
            kept[index * SLOT_BYTES : (index + 1) * SLOT_BYTES] = bytes(SLOT_BYTES)
    return bytes(kept)
