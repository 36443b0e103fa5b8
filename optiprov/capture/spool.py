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
import json
import mmap
import os
import struct
import threading
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

from optiprov.capture.segment import (
    FRAME_OVERHEAD_BYTES,
    HEADER_BYTES,
    SegmentReader,
    SegmentWriter,
    segment_path,
    segments,
)
from optiprov.records import Lost
from optiprov.wire import encode_record

if TYPE_CHECKING:
    from pathlib import Path

_SEGMENT_BYTES = 1 << 20
_STATE = struct.Struct("<QQQ")
_STATE_BYTES = 4096
_UINT64 = struct.Struct("<Q")
_UNREADABLE = encode_record(Lost(1, "the spooled record does not match its checksum"))


class SpoolState:
    """The three counters of a spool, shared between processes through a mapped file."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
        descriptor = os.open(path, flags, 0o600)
        try:
            if create:
                os.posix_fallocate(descriptor, 0, _STATE_BYTES)
            self._map = mmap.mmap(descriptor, _STATE_BYTES)
        finally:
            os.close(descriptor)

    def _get(self, offset: int) -> int:
        return int(_UINT64.unpack_from(self._map, offset)[0])

    @property
    def head(self) -> int:
        """The sequence number of the last record, 0 before the first."""
        return self._get(0)

    @head.setter
    def head(self, value: int) -> None:
        _UINT64.pack_into(self._map, 0, value)

    @property
    def acked(self) -> int:
        """The high-water mark: every record up to it is stored."""
        return self._get(8)

    @acked.setter
    def acked(self, value: int) -> None:
        _UINT64.pack_into(self._map, 8, value)

    @property
    def lost(self) -> int:
        """Records that found no room and are not yet counted in a tombstone."""
        return self._get(16)

    @lost.setter
    def lost(self, value: int) -> None:
        _UINT64.pack_into(self._map, 16, value)

    def close(self) -> None:
        """Let go of the file."""
        self._map.close()


class SpoolWriter:
    """Gives records their numbers and writes them to disk. Thread-safe; owned by one process.

    Args:
        directory: created; must not hold a spool yet.
        identity: who the client is, for whoever sends what is left.
        segment_bytes: how much is allocated at a time.

    Raises:
        OSError: the directory or its first files cannot be made.
    """

    def __init__(
        self, directory: Path, identity: Dict[str, Any], *, segment_bytes: int = _SEGMENT_BYTES
    ) -> None:
        directory.mkdir(parents=True, mode=0o700)
        self.directory = directory
        self._lock_file = lock_spool(directory)
        try:
            self.state = SpoolState(directory / "state", create=True)
            (directory / "client.json").write_text(json.dumps(identity), encoding="utf-8")
        except BaseException:
            os.close(self._lock_file)
            remove_spool(directory)
            raise
        self._segment_bytes = segment_bytes
        self._lock = threading.RLock()
        self._is_appending = False
        self._interrupting: List[bytes] = []
        self._segment: Optional[SegmentWriter] = None
        self._next = 1  # number of the first record of the next segment
        self._closed = False

    def append(self, payload: bytes) -> bool:
        """Store a record; False where the disk is full: it is then counted as lost."""
        with self._lock:
            if self._closed:
                return False
            if self._is_appending:  # by a signal handler, in the midst of another append of this thread
                self._interrupting.append(payload)
                return True
            self._is_appending = True
            try:
                self._append_interrupting()
                return self._append_or_count(payload)
            finally:
                self._is_appending = False
                while self._interrupting:
                    self._is_appending = True
                    try:
                        self._append_interrupting()
                    finally:
                        self._is_appending = False

    def _append_interrupting(self) -> None:
        """Store what signal handlers emitted in the midst of an append, in their order."""
        while self._interrupting:
            self._append_or_count(self._interrupting.pop(0))

    def count_lost(self) -> None:
        """Leave a tombstone for the records that found no room since the last one."""
        with self._lock:
            if not self._closed and not self._is_appending:
                with contextlib.suppress(OSError):  # the disk is still full; the count stays in `state`
                    self._leave_tombstone()

    def _append_or_count(self, payload: bytes) -> bool:
        try:
            self._leave_tombstone()
            self._append(payload)
        except OSError:
            self.state.lost += 1
            return False
        return True

    def _leave_tombstone(self) -> None:
        if self.state.lost:
            self._append(_tombstone(self.state.lost))
            self.state.lost = 0

    def _append(self, payload: bytes) -> None:
        segment = self._segment
        if segment is None or not segment.append(payload):
            segment = self._next_segment(len(payload))
            segment.append(payload)
        self.state.head = segment.next - 1

    def _next_segment(self, payload_bytes: int) -> SegmentWriter:
        needed = HEADER_BYTES + payload_bytes + 2 * FRAME_OVERHEAD_BYTES
        if self._segment is not None:
            self._segment.seal()
            self._next, self._segment = self._segment.next, None
        segment = SegmentWriter(self.directory, self._next, max(self._segment_bytes, needed))
        self._segment = segment
        return segment

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
    """Reads the records of a spool in order, from any number on. Not thread-safe."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
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
        """Return the number of the first record read, and the records that are there, up to both bounds."""
        records: List[bytes] = []
        first = self.next
        size = 0
        while len(records) < max_records and size < max_bytes:
            payload = self._one()
            if payload is None:
                break
            if not records:
                first = self.next - 1
            records.append(payload)
            size += len(payload)
        return first, records

    def _one(self) -> Optional[bytes]:
        while True:
            if self._segment is None:
                self._segment = self._open()
            if self._segment is None:
                return None
            for number, payload in self._segment.frames():
                if number < self.next:
                    continue
                self.next = number + 1
                return _UNREADABLE if payload is None else payload
            # A killed writer seals nothing; the next segment's name says that this one is at its end.
            if not segment_path(self.directory, self._segment.next).exists():
                return None
            self.next = max(self.next, self._segment.next)
            self._close()

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


def _tombstone(record_count: int) -> bytes:
    return encode_record(Lost(record_count, "the disk of the spool was full"))


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
