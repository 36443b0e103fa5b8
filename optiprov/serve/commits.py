"""Where requests wait for commits, without a thread each."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Commits:
    """What has been committed so far, and a way to wait for more.

    `notify` is called by the committer's thread, the rest by the event loop's.
    """

    def __init__(self) -> None:
        self.commit_id = 0
        self.marks: dict[str, int] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiters: set[asyncio.Event] = set()
        self.is_closed = False

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Say which loop the waiting requests are on."""
        self._loop = loop

    def notify(self, commit_id: int, marks: dict[str, int]) -> None:
        """Publish the state after a commit."""
        self.marks.update(marks)
        self.commit_id = commit_id
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake)

    def close(self) -> None:
        """Answer those who wait: nothing more is committed. Called by the loop's thread."""
        self.is_closed = True
        self._wake()

    def _wake(self) -> None:
        for waiter in self._waiters:
            waiter.set()

    async def wait_for(self, holds: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until a condition on the committed state holds; False where it does not in time."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        event = asyncio.Event()
        self._waiters.add(event)
        try:
            while not holds():
                if self.is_closed:
                    return False
                event.clear()
                left = deadline - asyncio.get_running_loop().time()
                try:
                    await asyncio.wait_for(event.wait(), max(left, 0.0))
                except asyncio.TimeoutError:
                    return holds()
            return True
        finally:
            self._waiters.discard(event)

    def lagging(self, heads: dict[str, int]) -> dict[str, tuple[int, int]]:
        """Return the clients whose mark is below the given number, with (mark, number)."""
        marks = {client: self.marks.get(client, 0) for client in heads}
        return {client: (marks[client], head) for client, head in heads.items() if marks[client] < head}
