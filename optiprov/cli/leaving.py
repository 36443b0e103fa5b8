"""How the process of a command ends."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

EXIT_FAILED = 1
EXIT_WRONG_INPUT = 2
EXIT_INTERRUPTED = 130


def run_and_leave(run: Callable[[], int]) -> None:
    """Run a command as all that this process does, and end the process with the exit status it returns.

    The process ends by `os._exit`, once all threads that are to be waited for have ended, all exit handlers
    have run and what was written is flushed. What the interpreter would do next, it does while threads of
    native libraries (Ray, gRPC, Arrow, DuckDB) still run: it destroys what they use, they crash, and a
    study that has ended well, or was interrupted in good order, exits with -11.

    An exit handler is what is called at that moment: the first that is registered is the last one called.
    """
    ending = _Ending()
    atexit.register(ending.leave)
    try:
        ending.status = run()
    except SystemExit as exit_:
        ending.status = _status_of(exit_)
        raise
    except KeyboardInterrupt:  # once more, while the first was being told
        ending.status = EXIT_INTERRUPTED
    sys.exit(ending.status)


class _Ending:
    """The end of this process; its status is that of an unforeseen exception until another is known."""

    def __init__(self) -> None:
        self.status = EXIT_FAILED
        self._process = os.getpid()

    def leave(self) -> None:
        """End the process at once."""
        if os.getpid() != self._process:
            return  # a child that was forked ends as it likes
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # all is done
        logging.shutdown()  # its own handler was registered before ours
        for stream in filter(None, (sys.stdout, sys.stderr)):  # a stream that came closed is None
            try:
                stream.flush()
            except (OSError, ValueError):  # the reader is gone, or the disk is full
                self.status = self.status or EXIT_FAILED
        os._exit(self.status)


def _status_of(exit_: SystemExit) -> int:
    if exit_.code is None:
        return 0
    return exit_.code if isinstance(exit_.code, int) else EXIT_FAILED
