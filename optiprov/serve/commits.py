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
        self._waiters: dict[asyncio.Future[None], Callable[[], bool]] = {}
        self.is_closed = False

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Say which loop the waiting requests are on."""
        self._loop = loop

    def notify(self, commit_id: int, marks: dict[str, int]) -> None:
        """Publish the state after a commit."""
        self.marks.update(marks)
        self.commit_id = commit_id
        if self._waiters and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake)

    def close(self) -> None:
        """Answer those who wait: nothing more is committed. Called by the loop's thread."""
        self.is_closed = True
        self._wake()

    def _wake(self) -> None:
        for waiter, holds in list(self._waiters.items()):
            if not waiter.done() and (self.is_closed or holds()):
                waiter.set_result(None)

    async def wait_for(self, holds: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until a condition on the committed state holds; False where it does not in time."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(timeout_s, _let_go, waiter)
        self._waiters[waiter] = holds  # before it is looked at: a commit in between wakes it
        try:
            if not holds() and not self.is_closed:
                await waiter
        finally:
            timer.cancel()
            del self._waiters[waiter]
        return holds()

    def lagging(self, heads: dict[str, int]) -> dict[str, tuple[int, int]]:
        """Return the clients whose mark is below the given number, with (mark, number)."""
        marks = {client: self.marks.get(client, 0) for client in heads}
        return {client: (marks[client], head) for client, head in heads.items() if marks[client] < head}


def _let_go(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
