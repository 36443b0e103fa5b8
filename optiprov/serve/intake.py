"""Where the ingest lanes leave what has arrived, and the committer takes it from."""

from __future__ import annotations

import queue
import threading
from typing import NamedTuple

from optiprov.wire import Batch

_MAX_WAITING_BYTES = 128 << 20
_IS_LOAD_RECORDS = 2_000  # in one take
_GATHER_S = 0.02
_OVERHEAD_BYTES = 64  # of the objects that a record is, beside its bytes


class Unreadable(NamedTuple):
    """A message that is no batch, and why."""

    payload: bytes
    reason: str


class Intake:
    """A bounded queue of messages. Thread-safe: the lanes put, the committer takes.

    What finds no room is dropped and counted: its client sends it again, since no acknowledgement comes.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._waiting: queue.SimpleQueue[tuple[Batch | Unreadable, int] | None] = queue.SimpleQueue()
        self._waiting_bytes = 0
        self._lock = threading.Lock()

    def put(self, message: Batch | Unreadable) -> bool:
        """Leave a message; False where there is no room for it."""
        size = _size(message)
        with self._lock:
            if self._waiting_bytes and self._waiting_bytes + size > _MAX_WAITING_BYTES:
                self.dropped += 1
                return False
            self._waiting_bytes += size
        self._waiting.put((message, size))
        return True

    def wake(self) -> None:
        """Let a `take` that waits return at once."""
        self._waiting.put(None)

    def take(self, max_records: int, max_bytes: int, timeout_s: float) -> list[Batch | Unreadable]:
        """Return what has arrived, as much as one commit should hold; wait a moment where nothing has.

        Under load it waits for more: a commit costs the same for a few records as for some thousands.
        """
        taken: list[Batch | Unreadable] = []
        records = size = 0
        try:
            entry = self._waiting.get(timeout=timeout_s)
            while entry is not None:
                message, message_bytes = entry
                taken.append(message)
                size += message_bytes
                records += len(message.records) if isinstance(message, Batch) else 1
                if records >= max_records or size >= max_bytes:
                    break
                entry = self._waiting.get(timeout=_GATHER_S if records >= _IS_LOAD_RECORDS else 0)
        except queue.Empty:
            pass
        with self._lock:
            self._waiting_bytes -= size
        return taken


def _size(message: Batch | Unreadable) -> int:
    if isinstance(message, Unreadable):
        return len(message.payload)
    records = [record for record in message.records if record is not None]
    return len(message.slots) + sum(map(len, records)) + _OVERHEAD_BYTES * len(records)
