"""Runs a command that has the terminal to itself, as a shell runs one in the foreground."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_OF_THE_TERMINAL = (signal.SIGINT, signal.SIGQUIT)
_KILLED = 128
"""What shells add to the number of the signal that ended a command."""


def run_in_foreground(argv: Sequence[str]) -> int:
    """Run a command with this process' input, output and terminal, and return its exit status.

    It is in the same group of processes: Ctrl-C reaches it and leaves this process alone, which waits for it;
    Ctrl-Z stops both. A command that a signal ended has the status that shells give it, 128 and the number.
    """
    with _left_to_the_command(), _terminal_given_back():
        status = subprocess.Popen(argv).wait()
    return status if status >= 0 else _KILLED - status


@contextmanager
def _left_to_the_command() -> Iterator[None]:
    # A handler that does nothing, and not SIG_IGN, which the command would have from this process.
    before = {number: signal.signal(number, lambda *_: None) for number in _OF_THE_TERMINAL}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _terminal_given_back() -> Iterator[None]:
    """Have this group of processes in the foreground again after a shell that was killed had it."""
    yield
    if not sys.stdin.isatty():
        return
    before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # what sets it from the background gets it
    with suppress(OSError):
        os.tcsetpgrp(sys.stdin.fileno(), os.getpgrp())
    signal.signal(signal.SIGTTOU, before)
