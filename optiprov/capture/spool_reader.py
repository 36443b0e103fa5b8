"""Reads a spool, of a live client as of one that is gone.

Damage stalls nothing: what a segment cannot give is counted, one lost record for each number that is missing,
and the next segment goes on.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Dict, Iterator, List, Optional, Tuple, Union

from optiprov.capture.segment import Frame, SegmentReader, UnreadableSegment, segment_path, segments
from optiprov.records import Lost
from optiprov.wire import encode_record

if TYPE_CHECKING:
    from pathlib import Path

_UNREADABLE = encode_record(
    Lost(1, "the spooled record does not match its checksum, or its segment is damaged")
)
_LOOK_EVERY_S = 1.0  # for the segment behind one that seems to go on


class SpoolReader:
    """Reads the records of a spool in order, from any number on. Not thread-safe."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._segment: Optional[Union[SegmentReader, UnreadableSegment]] = None
        self._first = 1  # of the present segment
        self._end: Optional[int] = None  # where the segment behind it begins: it is complete
        self._looked_at = 0.0
        self.next = 1

    def seek(self, number: int) -> None:
        """Read from this number on, or from the oldest that is there."""
        self._close()
        self.next = number

    def oldest(self) -> int:
        """Return the lowest number that the spool still holds, or the next one where it holds none."""
        held = segments(self.directory)
        return held[0][0] if held else self.next

    def read(self, max_records: int, max_bytes: int) -> Tuple[int, List[bytes]]:
        """Return the number of the first record read, and the records of one segment, up to both bounds."""
        records: List[bytes] = []
        size = 0
        while not records and self._find_segment():
            first = self.next
            for number, payload in self._frames():
                if number < self.next:
                    continue
                if not records:
                    first = number
                self.next = number + 1
                record = _UNREADABLE if payload is None else payload
                records.append(record)
                size += len(record)
                if len(records) >= max_records or size >= max_bytes:
                    break
            if not records and not self._leave_segment():
                break
        return (first if records else self.next), records

    @property
    def shapes(self) -> Dict[int, bytes]:
        """The shapes, encoded and by number, that the records read last may refer to."""
        return self._segment.shapes if self._segment is not None else {}

    def _frames(self) -> Iterator[Frame]:
        """Yield the frames of the present segment, and what a complete one should have but has not."""
        if self._segment is None:
            return
        for number, payload in self._segment.frames():
            if self._end is not None and number >= self._end:
                break  # of a frame whose length is garbage
            yield number, payload
        if self._end is not None:
            for number in range(self.next, self._end):
                yield number, None

    def _find_segment(self) -> bool:
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
        segment = self._segment
        if segment is None or not (
            segment.sealed
            or segment_path(self.directory, segment.next).exists()
            or time.monotonic() - self._looked_at > _LOOK_EVERY_S  # its lengths may be damaged
        ):
            return None
        self._looked_at = time.monotonic()
        return min((first for first, _ in segments(self.directory) if first > self._first), default=None)

    def _open(self) -> Optional[Union[SegmentReader, UnreadableSegment]]:
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
            return SegmentReader(path)
        except ValueError:  # it is being made, or it is damaged
            return UnreadableSegment(first) if self._end is not None else None
        except OSError:  # it has just been acknowledged and removed
            return None

    def _close(self) -> None:
        if self._segment is not None:
            self._segment.close()
            self._segment = None
        self._end = None

    close = _close
