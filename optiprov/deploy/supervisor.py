"""The supervisor: a process that outlives its owner just long enough to end the owner's children."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from optiprov.deploy import watchdog
from optiprov.deploy.journal import marker_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from typing_extensions import Self

CLOSE_TIMEOUT_S = 5.0
_GONE_TIMEOUT_S = 2 * watchdog.DEADLINE_S
_LOOK_S = 0.05


def wait_for_supervisors(assignments: Collection[str]) -> None:
    """Wait until what supervised an owner that died has ended all that it had to end.

    Until then it would end new processes with the same marker too.

    Args:
        assignments: What marked the owner's processes, `NAME=value`.
    """
    deadline = time.monotonic() + _GONE_TIMEOUT_S
    while time.monotonic() < deadline and any(map(_is_supervised, assignments)):
        time.sleep(_LOOK_S)


def _is_supervised(assignment: str) -> bool:
    program = str(Path(watchdog.__file__))
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:  # ended meanwhile
            continue
        if program in arguments and assignment in arguments:
            return True
    return False


class Supervisor:
    """Ends marked processes within 10 s of the death of the process that made this object.

    A small process holds the read end of a pipe whose write end only the owner has. When the owner
    ends without `close()`, even by kill -9, it ends (TERM, then KILL after 3 s) every process that
    has the marker in its environment and every member of the watched sessions. It runs in a session
    of its own, so that Ctrl-C does not reach it. Safe to use from several threads; uses neither
    signal handlers nor atexit.

    Args:
        marker: What marks the processes in their environment: `NAME=value`, or a value alone for
            the variable OPTIPROV_DEPLOYMENT. Give `environment` to each process that is started.
    """

    def __init__(self, marker: str) -> None:
        self.assignment = marker if "=" in marker else marker_of(marker)
        self._lock = threading.Lock()
        owner = os.getpid()
        self._process: subprocess.Popen[bytes] | None = subprocess.Popen(
            [
                *(sys.executable, "-S", "-E", "-s", str(Path(watchdog.__file__))),
                *(self.assignment, str(owner), str(watchdog.start_time(owner))),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={"LANG": "C.UTF-8"},
            start_new_session=True,
        )

    @property
    def environment(self) -> dict[str, str]:
        """The variable that marks a process as one to be ended with the owner."""
        name, _, value = self.assignment.partition("=")
        return {name: value}

    @property
    def pid(self) -> int | None:
        """The id of the supervising process, None after `close()`."""
        return self._process.pid if self._process else None

    def watch(self, pgid: int) -> None:
        """Have the members of a session ended too, marked or not (a process started in a new session)."""
        self._order(f"watch {pgid}")

    def forget(self, pgid: int) -> None:
        """Stop watching a session: its processes have ended, its id may be given to others."""
        self._order(f"forget {pgid}")

    def close(self) -> None:
        """End the supervision; nothing is killed. Closing twice does nothing."""
        self._order("close")
        with self._lock:
            process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(CLOSE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _order(self, line: str) -> None:
        with self._lock:
            if self._process is None or self._process.stdin is None:
                return
            try:
                os.write(self._process.stdin.fileno(), f"{line}\n".encode())
            except BrokenPipeError:
                # The supervising process was killed; the journal and reap_abandoned remain.
                return
