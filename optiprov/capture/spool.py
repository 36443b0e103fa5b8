"""The spool of one client: a directory in which each record lies until the store has it.

    client.json     who the client is and where it sends
    state           head (last number given), acked (high-water mark), lost (records that found no room),
                    tombstone (the number of the record that says so, while it is being written)
    lock            held (flock) by the process that writes; when free, others may send what is left
    <number>.seg    segments

`state` is mapped like the segments, so that any process can read the mark of a live client. Its head lacks
the packed rows that came since the publisher looked: `recovery.last_number` has those too.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import json
import os
import threading
import time
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Tuple

from optiprov.capture.segment import FRAME_OVERHEAD_BYTES, SegmentWriter, segments
from optiprov.capture.spool_state import SpoolState
from optiprov.records import Lost, Status
from optiprov.wire import encode_record, encode_shape
from optiprov.wire.slots import SLOT_BYTES, encode_marker

if TYPE_CHECKING:
    from pathlib import Path

    from optiprov.wire import ShapeTuple

_SEGMENT_BYTES = 1 << 20  # about: half of it for slots, half for payloads
_MIN_SLOTS = 4
_MAX_SHAPES = 64  # in a segment; they go along with each batch
_GIVE_WAY_TIMES = 100
_REMOVE_TIMES = 10
_LOCK_AGAIN_S = 0.005
_LOOKED_AT_S = 2.0
_NUMBER_BYTES = 20  # of a shape, in text
NO_ROOM = "there was no room in the spool: its disk was full, or it was at its bound (OPTIPROV_SPOOL_MAX_MB)"


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
        # One who lists spools may look, for a moment, whether it was left half made.
        self._lock_file = lock_spool(directory, timeout_s=_LOOKED_AT_S)
        try:
            self.state = SpoolState(directory / "state", create=True)
            _write_identity(directory, identity)
        except BaseException:
            os.close(self._lock_file)
            remove_spool(directory)
            raise
        self._slot_count = max(_MIN_SLOTS, segment_bytes // 2 // SLOT_BYTES)
        self._heap_bytes = segment_bytes // 2
        self._take_room = take_room
        self._lock = threading.RLock()
        self._is_appending = False
        self._interrupting: List[Tuple[bytes, Optional[ShapeTuple]]] = []
        self._has_lost = False
        # How a row of each shape starts that the present segment defines, and the segment.
        self._starts: Dict[ShapeTuple, Tuple[bytes, SegmentWriter]] = {}
        self._markers: Dict[ShapeTuple, bytes] = {}  # of packed rows, in the present segment
        self._shape_numbers = itertools.count(1)
        self._segment: Optional[SegmentWriter] = None
        self._next = 1  # number of the first record of the next segment
        self._closed = False

    @property
    def head(self) -> int:
        """The sequence number of the last record, 0 before the first."""
        segment = self._segment
        return (self._next if segment is None else segment.next) - 1

    @property
    def is_closed(self) -> bool:
        """Whether nothing is taken any more."""
        return self._closed

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
                        self.state.head = segment.next - 1
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
        """Append the tombstone; interrupted or killed anywhere in here, it is there once in the end."""
        self.state.settle_tombstone(self.head)
        if self.state.lost:
            self.state.tombstone = self.head + 1
            self._append(_tombstone(self.state.lost), None)
            self.state.settle_tombstone(self.head)
        self._has_lost = False

    def _append(self, payload: bytes, shape: Optional[ShapeTuple]) -> None:
        definition = encode_shape(shape) if shape is not None else b""
        needed = len(payload) + len(definition) + 3 * FRAME_OVERHEAD_BYTES + 2 * _NUMBER_BYTES
        while True:
            segment = self._segment
            if segment is None or segment.room < needed:
                segment = self._next_segment(needed)
            start = self._start(shape, definition, segment) if shape is not None else b""
            if segment.append(start + payload):
                self.state.head = segment.next - 1
                return

    def _start(self, shape: ShapeTuple, definition: bytes, segment: SegmentWriter) -> bytes:
        """Return how a row of a shape starts in a segment that has room for its definition."""
        if shape not in self._starts:
            self._starts[shape] = (b"[%d" % self._define(definition, segment), segment)
        return self._starts[shape][0]

    def _define(self, definition: bytes, segment: SegmentWriter) -> int:
        number = next(self._shape_numbers)
        segment.define(number, definition)
        return number

    def packed(self, shape: ShapeTuple) -> Optional[Tuple[SegmentWriter, bytes]]:
        """Return a segment that has room for packed rows of a shape, and the marker that these end with.

        None where there is no room, or a record is being appended (by the code that a signal interrupted):
        the record has to be appended another way then.
        """
        if not _is_text(shape):
            return None
        definition = encode_shape(shape)
        needed = len(definition) + 2 * FRAME_OVERHEAD_BYTES + _NUMBER_BYTES
        with self._lock:
            if self._closed or self._is_appending or self._has_lost or len(self._markers) >= _MAX_SHAPES:
                return None
            self._is_appending = True
            try:
                segment = self._segment
                if segment is None or segment.room < needed:
                    segment = self._next_segment(needed)
                if shape not in self._markers:
                    self._markers[shape] = encode_marker(self._define(definition, segment))
                return segment, self._markers[shape]
            except OSError:
                return None
            finally:
                self._is_appending = False
                if self._interrupting:
                    self._append_what_interrupted()

    def _next_segment(self, needed_bytes: int) -> SegmentWriter:
        heap_bytes = max(self._heap_bytes, needed_bytes)
        self._starts, self._markers = {}, {}
        if self._segment is not None:
            if self._segment.next == self._segment.first:  # shapes alone; each segment has a name of its own
                self._segment.append(_tombstone(0))
            self._segment.seal()
            self._next, self._segment = self._segment.next, None
            self.state.head = self._next - 1
        if self._take_room is not None:
            self._take_room(SegmentWriter.size(self._slot_count, heap_bytes))
        self._segment = SegmentWriter(self.directory, self._next, self._slot_count, heap_bytes)
        return self._segment

    def close(self) -> None:
        """End the spool: remove it where everything is acknowledged, leave it to others where not."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if self._segment is not None:
                self._segment.seal()
            self.state.head = self.head
            done = self.state.acked >= self.state.head and not self.state.lost
            if done:
                with contextlib.suppress(OSError):  # what is left of it is removed by others
                    remove_spool(self.directory)
            self.state.close()
            os.close(self._lock_file)

    def forget(self) -> None:
        """Let go of the parent's spool in a forked child, without a change to it."""
        self._closed = True
        if self._segment is not None:
            self._segment.forget()
        os.close(self._lock_file)


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
        state.tombstone = state.head + 1
        append_alone(directory, state, _tombstone(state.lost))
        state.settle_tombstone(state.head)


def append_alone(directory: Path, state: SpoolState, payload: bytes) -> None:
    """Append a record, in a segment of its own, to a spool whose writer is gone; hold its lock.

    Raises:
        OSError: there is no room.
    """
    segment = SegmentWriter(directory, state.head + 1, 1, len(payload) + 2 * FRAME_OVERHEAD_BYTES)
    segment.append(payload)
    segment.seal()
    state.head += 1


def _is_text(shape: ShapeTuple) -> bool:
    """Whether the service takes a shape: names and ids are text, which JSON keeps, and a status is known."""
    _, run_id, dataflow, transformation, host, agent, status, items, *_ = shape
    texts = (run_id, dataflow, transformation, host or "", agent or "")
    return (
        all(isinstance(text, str) for text in texts)
        and (status is None or status in Status.ENDS)
        and all(type(name) is str for _, _, names in items for name in names)
    )


def _tombstone(record_count: int) -> bytes:
    return encode_record(Lost(record_count, NO_ROOM))


def lock_spool(directory: Path, *, timeout_s: float = 0.0) -> int:
    """Take the lock of a spool and return its descriptor.

    Raises:
        BlockingIOError: another process has it, for as long as we wait.
    """
    deadline = time.monotonic() + timeout_s
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(_LOCK_AGAIN_S)
            else:
                return descriptor
    except BaseException:
        os.close(descriptor)
        raise


def remove_spool(directory: Path) -> None:
    """Remove a spool's files and its directory; a kill in between leaves nothing that seems to be unsent.

    Raises:
        OSError: it cannot be removed.
    """
    for attempt in range(_REMOVE_TIMES):
        for _, path in segments(directory):
            path.unlink(missing_ok=True)
        for path in sorted(directory.iterdir(), key=_when_removed):
            path.unlink(missing_ok=True)
        try:
            directory.rmdir()
        except OSError as error:  # one who lists spools has made the lock anew, to see whether it is held
            if error.errno != errno.ENOTEMPTY or attempt == _REMOVE_TIMES - 1:
                raise
        else:
            return


def _when_removed(path: Path) -> int:
    """Have the lock go last: while there is more, nobody else takes the spool for one that was left."""
    return {"client.json": 1, "state": 2, "lock": 3}.get(path.name, 0)


def _write_identity(directory: Path, identity: Dict[str, Any]) -> None:
    """Write who the client is, whole or not at all."""
    partial = directory / "client.json.new"
    partial.write_text(json.dumps(identity), encoding="utf-8")
    partial.replace(directory / "client.json")
