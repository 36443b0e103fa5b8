"""The processes of a deployment: started under supervision, waited for, ended together."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optiprov.deploy.watchdog import end_processes, find_processes, not_recycled, start_time

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from optiprov.deploy.journal import Journal
    from optiprov.deploy.providers.base import Host
    from optiprov.deploy.supervisor import Supervisor

STAGE_VARIABLE = "OPTIPROV_STAGE"


class StoppedError(Exception):
    """A process was not started, because the deployment is being stopped. Never leaves the package."""


@dataclass(frozen=True)
class Invocation:
    """A process to be started on a host.

    Attributes:
        host: Where.
        stage: In which stage.
        task: Name of the task.
        argv: The command.
        chdir: Its directory on the host, None for the working directory.
        environment: Variables beside the host's.
        stdout: File for its standard output.
        stderr: File for its standard error.
    """

    host: Host
    stage: str
    task: str
    argv: Sequence[str]
    chdir: str | None
    environment: Mapping[str, str]
    stdout: Path
    stderr: Path


@dataclass(frozen=True)
class _Started:
    process: subprocess.Popen[bytes]
    stage: str
    start: int | None


class ProcessTable:
    """All processes that a deployment started. Safe to use from several threads.

    Args:
        journal: Where each process is written.
        supervisor: What ends them should this process die.
    """

    def __init__(self, journal: Journal, supervisor: Supervisor) -> None:
        self._journal = journal
        self._supervisor = supervisor
        self._lock = threading.Lock()
        self._started: list[_Started] = []
        self._is_open = True

    def open(self) -> None:
        """Allow processes to be started (again, after `end_all`)."""
        with self._lock:
            self._is_open = True

    def start(self, invocation: Invocation) -> subprocess.Popen[bytes]:
        """Start a process; the caller has to wait for it.

        Raises:
            StoppedError: The processes are being ended.
        """
        environment = {
            **invocation.environment,
            **self._supervisor.environment,
            STAGE_VARIABLE: invocation.stage,
        }
        with self._lock:
            if not self._is_open:
                raise StoppedError
            where = {"host": invocation.host.id, "stage": invocation.stage, "task": invocation.task}
            self._journal.write("starting", **where)
            process = invocation.host.start(
                invocation.argv,
                chdir=invocation.chdir,
                environment=environment,
                stdout=invocation.stdout,
                stderr=invocation.stderr,
            )
            started = _Started(process, invocation.stage, start_time(process.pid))
            self._started.append(started)
            self._supervisor.watch(process.pid)
            self._journal.write("started", pgid=process.pid, start=started.start, **where)
        return process

    def running(self, stage: str) -> bool:
        """Whether any process of a stage lives, also one that left its session."""
        with self._lock:
            of_stage = [started for started in self._started if started.stage == stage]
        if any(started.process.returncode is None for started in of_stage):
            return True
        assignments = (self._supervisor.assignment, f"{STAGE_VARIABLE}={stage}")
        return bool(of_stage) and bool(find_processes(assignments, _sessions(of_stage)))

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """End one process with its session; returns when they have ended."""
        end_processes((), {process.pid})

    def end_all(self) -> None:
        """End all processes, and those that they left behind; none can be started until `open()`."""
        with self._lock:
            self._is_open = False
            everything = list(self._started)
        if not everything:
            return
        end_processes((self._supervisor.assignment,), _sessions(everything))
        for started in everything:
            self._supervisor.forget(started.process.pid)
            with contextlib.suppress(OSError):  # the disk is full; sessions are checked before they are ended
                self._journal.write("ended", pgid=started.process.pid)
        with self._lock:
            self._started = [started for started in self._started if started not in everything]


def _sessions(started: Sequence[_Started]) -> set[int]:
    return not_recycled({one.process.pid: one.start for one in started})
