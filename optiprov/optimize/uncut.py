"""Calls that an interruption must not cut in two."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Call:
    """A call that a thread makes; any other can wait for it."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self._ended = threading.Event()
        self._error: BaseException | None = None

    def run(self) -> None:
        """Make the call."""
        try:
            self._call()
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            self._error = error
        finally:
            self._ended.set()

    def wait(self) -> None:
        """Wait until the call has ended, and raise what it has raised."""
        self._ended.wait()
        if self._error is not None:
            raise self._error

    def ends_within(self, timeout_s: float) -> bool:
        """Wait for a time; return whether the call has ended, well or badly."""
        return self._ended.wait(timeout_s)


class UncutCalls:
    """A thread that makes calls, one after another.

    Ctrl-C is for the main thread, and so never arises within the calls. Who waits for one can be interrupted;
    the call goes on, and can be waited for again. One that is not waited for any longer does not keep the
    process from ending. The thread lives until `close`: processes that ask the kernel to end them with their
    parent (PR_SET_PDEATHSIG) are ended with the thread that started them.

    Example:
        >>> calls = UncutCalls()
        >>> calls.begin(lambda: None).wait()
        >>> calls.begin(lambda: [][1]).wait()
        Traceback (most recent call last):
        IndexError: list index out of range
        >>> calls.close()
    """

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="optiprov-uncut", daemon=True).start()

    def begin(self, call: Callable[[], object]) -> Call:
        """Have a call made, after those before it; return what to wait for."""
        begun = Call(call)
        self._calls.put(begun)
        return begun

    def close(self) -> None:
        """End the thread after the last call."""
        self._calls.put(None)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            call.run()
