"""The spool of one client: a directory in which each record lies until the store has it.

    client.json     who the client is and where it sends
    state           head (last number given), acked (high-water mark), lost (records that found no room)
    lock            held (flock) by the process that writes; when free, others may send what is left
    <number>.seg    segments

`state` is mapped like the segments, so that any process can read the head of a live client.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import mmap
import os
import struct
import threading
import time
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Tuple

from optiprov.capture.segment import (
    FRAME_OVERHEAD_BYTES,
    HEADER_BYTES,
    SegmentReader,
    SegmentWriter,
    segment_path,
    segments,
)
from optiprov.records import Lost, Status
from optiprov.wire import encode_record, encode_shape

if TYPE_CHECKING:
    from pathlib import Path

    from optiprov.wire import ShapeTuple

_SEGMENT_BYTES = 1 << 20
_MAX_SHAPES = 64  # in a segment; they go along with each batch
_GIVE_WAY_TIMES = 100
_MAX_UNREADABLE = 1_000_000  # missing records that are believed: names of files may be garbage too
_NUMBER_BYTES = 20  # of a shape, in text
_STATE = struct.Struct("<QQQ")
_STATE_BYTES = 4096
_UINT64 = struct.Struct("<Q")
NO_ROOM = "there was no room in the spool: its disk was full, or it was at its bound (OPTIPROV_SPOOL_MAX_MB)"
_UNREADABLE = encode_record(Lost(1, "the spooled record does not match its checksum"))


class SpoolState:
    """The three counters of a spool, shared between processes through a mapped file."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
        descriptor = os.open(path, flags, 0o600)
        try:
            if create:
                os.posix_fallocate(descriptor, 0, _STATE_BYTES)
            self.counters = mmap.mmap(descriptor, _STATE_BYTES)
        finally:
            os.close(descriptor)

    def _get(self, offset: int) -> int:
        return int(_UINT64.unpack_from(self.counters, offset)[0])

    @property
    def head(self) -> int:
        """The sequence number of the last record, 0 before the first."""
        return self._get(0)

    @head.setter
    def head(self, value: int) -> None:
        _UINT64.pack_into(self.counters, 0, value)

    @property
    def acked(self) -> int:
        """The high-water mark: every record up to it is stored."""
        return self._get(8)

    @acked.setter
    def acked(self, value: int) -> None:
        _UINT64.pack_into(self.counters, 8, value)

    @property
    def lost(self) -> int:
        """Records that found no room and are not yet counted in a tombstone."""
        return self._get(16)

    @lost.setter
    def lost(self, value: int) -> None:
        _UINT64.pack_into(self.counters, 16, value)

    def close(self) -> None:
        """Let go of the file."""
        self.counters.close()


class SpoolWriter:
    """Gives records their numbers and writes them to disk. Thread-safe; owned by one process.

    Args:
        directory: created; must not hold a spool yet.
        identity: who the client is, for whoever sends what is left.
        segment_bytes: how much is allocated at a time.
        take_room: called before that with how much, and raises OSError where it is too much.

    Raises:
        OSError: the directory or its first files cannot be made.
    """

    def __init__(
        self,
        directory: Path,
        identity: Dict[str, Any],
        *,
        segment_bytes: int = _SEGMENT_BYTES,
        take_room: Optional[Callable[[int], None]] = None,
    ) -> None:
        directory.mkdir(parents=True, mode=0o700)
        self.directory = directory
        self._lock_file = lock_spool(directory)
        try:
            self.state = SpoolState(directory / "state", create=True)
            self._counters = self.state.counters
            _write_identity(directory, identity)
        except BaseException:
            os.close(self._lock_file)
            remove_spool(directory)
            raise
        self._segment_bytes = segment_bytes
        self._take_room = take_room
        self._lock = threading.RLock()
        self._is_appending = False
        self._interrupting: List[Tuple[bytes, Optional[ShapeTuple]]] = []
        self._has_lost = False
        # How a row of each shape starts that the present segment defines, and the segment.
        self._starts: Dict[ShapeTuple, Tuple[bytes, SegmentWriter]] = {}
        self._shape_numbers = itertools.count(1)
        self._segment: Optional[SegmentWriter] = None
        self._next = 1  # number of the first record of the next segment
        self._closed = False

    def append(self, payload: bytes, shape: Optional[ShapeTuple] = None) -> bool:
        """Store a record; False where the disk is full: it is then counted as lost.

        Args:
            payload: the encoded record; with a shape, its row without the shape's number: `,...]`.
            shape: what the row has in common with others; it is defined where the segment lacks it.
        """
        with self._lock:
            if self._closed:
                return False
            if self._is_appending:  # by a signal handler, in the midst of another append of this thread
                self._interrupting.append((payload, shape))
                return True
            self._is_appending = True
            try:
                self._append_interrupting()
                return self._append_or_count(payload, shape)
            finally:
                self._is_appending = False  # before any call: an exception may be raised as a call begins
                if self._interrupting:
                    self._append_what_interrupted()

    def append_row(self, row: bytes, shape: ShapeTuple) -> Optional[bool]:
        """Store a row of a shape, `,...]`, as `append` does; costs less where the shape is defined.

        None where the record has to be stored whole: a segment has a bounded number of shapes.
        """
        start = self._starts.get(shape)
        if start is None:
            is_taken = len(self._starts) < _MAX_SHAPES and _is_text(shape)
            return self.append(row, shape) if is_taken else None
        payload, segment = start
        payload += row
        if self._is_appending:
            self._give_way()
        with self._lock:
            if segment is self._segment and not self._is_appending and not self._has_lost:
                self._is_appending = True
                try:
                    if segment.append(payload):
                        _UINT64.pack_into(self._counters, 0, segment.next - 1)  # as `state.head`
                        return True
                finally:
                    self._is_appending = False
                    if self._interrupting:
                        self._append_what_interrupted()
        return self.append(row, shape)

    def _give_way(self) -> None:
        """Let the thread that appends get on with it.

        One that blocks on the lock would get it before it can run, and all others would then block in turn.
        In a signal handler the wait is in vain, and short.
        """
        for _ in range(_GIVE_WAY_TIMES):
            time.sleep(0)
            if not self._is_appending:
                return

    def _append_what_interrupted(self) -> None:
        while self._interrupting:
            self._is_appending = True
            try:
                self._append_interrupting()
            finally:
                self._is_appending = False

    def _append_interrupting(self) -> None:
        """Store what signal handlers emitted in the midst of an append, in their order."""
        while self._interrupting:
            self._append_or_count(*self._interrupting.pop(0))

    def count_lost(self) -> None:
        """Leave a tombstone for the records that found no room since the last one."""
        with self._lock:
            if not self._closed and not self._is_appending:
                with contextlib.suppress(OSError):  # the disk is still full; the count stays in `state`
                    self._leave_tombstone()

    def _append_or_count(self, payload: bytes, shape: Optional[ShapeTuple]) -> bool:
        try:
            if self._has_lost:
                self._leave_tombstone()
            self._append(payload, shape)
        except OSError:
            self._has_lost = True
            self.state.lost += 1
            return False
        return True

    def _leave_tombstone(self) -> None:
        if self.state.lost:
            self._append(_tombstone(self.state.lost), None)
            self.state.lost = 0
        self._has_lost = False

    def _append(self, payload: bytes, shape: Optional[ShapeTuple]) -> None:
        definition = encode_shape(shape) if shape is not None else b""
        needed = len(payload) + len(definition) + 3 * FRAME_OVERHEAD_BYTES + 2 * _NUMBER_BYTES
        segment = self._segment
        if segment is None or segment.room < needed:
            segment = self._next_segment(needed)
        if shape is not None:
            payload = self._start(shape, definition, segment) + payload
        segment.append(payload)
        self.state.head = segment.next - 1

    def _start(self, shape: ShapeTuple, definition: bytes, segment: SegmentWriter) -> bytes:
        """Return how a row of a shape starts in a segment that has room for its definition."""
        if shape not in self._starts:
            number = next(self._shape_numbers)
            segment.define(number, definition)
            self._starts[shape] = (b"[%d" % number, segment)
        return self._starts[shape][0]

    def _next_segment(self, needed_bytes: int) -> SegmentWriter:
        size = max(self._segment_bytes, HEADER_BYTES + needed_bytes)
        self._starts = {}
        if self._segment is not None:
            self._segment.seal()
            self._next, self._segment = self._segment.next, None
        if self._take_room is not None:
            self._take_room(size)
        self._segment = SegmentWriter(self.directory, self._next, size)
        return self._segment

    def close(self) -> None:
        """End the spool: remove it where everything is acknowledged, leave it to others where not."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            done = self.state.acked >= self.state.head and not self.state.lost
            if self._segment is not None:
                self._segment.seal()
            if done:
                remove_spool(self.directory)
            self.state.close()
            os.close(self._lock_file)

    def forget(self) -> None:
        """Let go of the parent's spool in a forked child, without a change to it."""
        self._closed = True
        os.close(self._lock_file)


class SpoolReader:
    """Reads the records of a spool in order, from any number on. Not thread-safe.

    Args:
        directory: the spool's.
        has_ended: its writer is gone: where a segment breaks off, the next one goes on.
    """

    def __init__(self, directory: Path, *, has_ended: bool = False) -> None:
        self.directory = directory
        self._has_ended = has_ended
        self._segment: Optional[SegmentReader] = None
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
            segment = self._segment
            first = self.next
            for number, payload in segment.frames() if segment is not None else ():
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
                records = self._unreadable_rest(max_records)
                if not records:
                    break
        return (first if records else self.next), records

    @property
    def shapes(self) -> Dict[int, bytes]:
        """The shapes, encoded and by number, that the records read last may refer to."""
        return self._segment.shapes if self._segment is not None else {}

    def _find_segment(self) -> bool:
        if self._segment is None:
            self._segment = self._open()
        return self._segment is not None

    def _unreadable_rest(self, max_records: int) -> List[bytes]:
        """Return a tombstone for each record that cannot be read between here and the next segment."""
        if self._segment is None or not (self._segment.sealed or self._has_ended):
            return []
        following = [first for first, _ in segments(self.directory) if first > self.next]
        if not following:
            return []
        missing = min(following[0] - self.next, max_records, _MAX_UNREADABLE)
        self._segment.next = self.next = self.next + missing
        return [_UNREADABLE] * missing

    def _leave_segment(self) -> bool:
        """Leave a segment that is at its end; False where it may go on."""
        segment = self._segment
        # A killed writer seals nothing; the next segment's name says that this one is at its end.
        if segment is None or segment.next == segment.first:
            return False
        if not segment_path(self.directory, segment.next).exists():
            return False
        self.next = max(self.next, segment.next)
        self._close()
        return True

    def _open(self) -> Optional[SegmentReader]:
        held = segments(self.directory)
        candidates = [path for first, path in held if first <= self.next]
        if candidates:
            path = candidates[-1]
        elif held:
            self.next, path = held[0]
        else:
            return None
        try:
            return SegmentReader(path)
        except (OSError, ValueError):
            return None

    def _close(self) -> None:
        if self._segment is not None:
            self._segment.close()
            self._segment = None

    close = _close


def free_acknowledged(directory: Path, acked: int) -> None:
    """Remove the segments whose records are all acknowledged, but for the last, which is written to."""
    held = segments(directory)
    for (_, path), (following, _) in zip(held, held[1:]):
        if following <= acked + 1:
            path.unlink(missing_ok=True)


def leave_tombstone(directory: Path, state: SpoolState) -> None:
    """Count in a record of its own what found no room in a spool whose writer is gone; hold its lock.

    Raises:
        OSError: there is no room still.
    """
    if state.lost:
        tombstone = _tombstone(state.lost)
        room = HEADER_BYTES + len(tombstone) + 2 * FRAME_OVERHEAD_BYTES
        segment = SegmentWriter(directory, state.head + 1, room)
        segment.append(tombstone)
        segment.seal()
        state.lost, state.head = 0, state.head + 1


def leave_end(directory: Path, state: SpoolState) -> None:
    """Leave a record behind the head of a spool whose end cannot be read; hold its lock.

    Raises:
        OSError: there is no room.
    """
    payload = encode_record(Lost(0, "the end of the spool cannot be read"))
    room = HEADER_BYTES + len(payload) + 2 * FRAME_OVERHEAD_BYTES
    segment = SegmentWriter(directory, state.head + 1, room)
    segment.append(payload)
    segment.seal()
    state.head += 1


def _is_text(shape: ShapeTuple) -> bool:
    """Whether the service takes a shape: names and ids are text, which JSON keeps, and a status is known."""
    _, run_id, dataflow, transformation, host, agent, status, items = shape
    texts = (run_id, dataflow, transformation, host or "", agent or "")
    return (
        all(isinstance(text, str) for text in texts)
        and (status is None or status in Status.ENDS)
        and all(type(name) is str for _, _, names in items for name in names)
    )


def _tombstone(record_count: int) -> bytes:
    return encode_record(Lost(record_count, NO_ROOM))


def lock_spool(directory: Path) -> int:
    """Take the lock of a spool and return its descriptor.

    Raises:
        BlockingIOError: another process has it.
    """
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def remove_spool(directory: Path) -> None:
    """Remove a spool's files and its directory."""
    for path in directory.iterdir():
        path.unlink(missing_ok=True)
    directory.rmdir()


def _write_identity(directory: Path, identity: Dict[str, Any]) -> None:
    """Write who the client is, whole or not at all."""
    partial = directory / "client.json.new"
    partial.write_text(json.dumps(identity), encoding="utf-8")
    partial.replace(directory / "client.json")


def read_identity(directory: Path) -> Dict[str, Any]:
    """Return who the client of a spool is.

    Raises:
        OSError: there is no such file.
        ValueError: it is cut off.
    """
    identity: Dict[str, Any] = dict(json.loads((directory / "client.json").read_text(encoding="utf-8")))
    if "client" not in identity:
        raise ValueError(f"{directory / 'client.json'} names no client")
    return identity
