"""The processes of a deployment: started under supervision, waited for, ended together."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optiprov.deploy.frozen import frozen
from optiprov.deploy.watchdog import end_processes, find_processes, not_recycled, start_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from optiprov.deploy.journal import Journal
    from optiprov.deploy.providers.base import Host
    from optiprov.deploy.supervisor import Supervisor

STAGE_VARIABLE = "OPTIPROV_STAGE"


class StoppedError(Exception):
    """A process was not started, because the deployment is being stopped. Never leaves the package."""


@frozen
class Invocation:
    """A process to be started.

    Attributes:
        host: On which host; None for this machine, outside all of them, with no environment but its own.
        stage: In which stage.
        task: Name of the task.
        argv: The command.
        chdir: Its directory on the host, None for the working directory.
        environment: Variables beside the host's.
        stdout: File for its standard output.
        stderr: File for its standard error.
        is_left: Whether it goes on after its command, so that it may end when nobody waits for it.
    """

    host: Host | None
    stage: str
    task: str
    argv: Sequence[str]
    chdir: str | None
    environment: Mapping[str, str]
    stdout: Path
    stderr: Path
    is_left: bool = False


@dataclass
class _Started:
    process: subprocess.Popen[bytes]
    host: Host | None
    stage: str
    start: int | None
    is_left: bool
    shown: str
    has_ended: bool = False


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
        self._has_changed = threading.Condition(self._lock)
        self._started: dict[int, _Started] = {}
        self._is_open = True

    def is_ended(self, process: subprocess.Popen[bytes]) -> bool:
        """Whether `end_all` has ended a process, or is about to: then its end is no surprise."""
        with self._lock:
            return not self._is_open or process.pid not in self._started

    def open(self) -> None:
        """Allow processes to be started (again, after `end_all`)."""
        with self._lock:
            self._is_open = True

    def close(self) -> None:
        """Allow none to be started, until `open()`."""
        with self._lock:
            self._is_open = False

    def marks(self, stage: str) -> dict[str, str]:
        """The variables by which the processes of a stage are found."""
        return {**self._supervisor.environment, STAGE_VARIABLE: stage}

    def start(self, invocation: Invocation) -> subprocess.Popen[bytes]:
        """Start a process; the caller has to wait for it.

        Raises:
            StoppedError: The processes are being ended.
            OSError: The host cannot be reached, or the process cannot be started.
        """
        if invocation.host is not None and self._is_open:
            invocation.host.reach()  # not in the lock: others go on while one is tried to be reached
        environment = {**invocation.environment, **self.marks(invocation.stage)}
        with self._lock:
            if not self._is_open:
                raise StoppedError
            host = invocation.host
            where = {"host": host.id if host else "", "stage": invocation.stage, "task": invocation.task}
            self._journal.write("starting", **where)
            process = (
                _start_here(invocation, environment)
                if host is None
                else host.start(
                    invocation.argv,
                    chdir=invocation.chdir,
                    environment=environment,
                    stdout=invocation.stdout,
                    stderr=invocation.stderr,
                )
            )
            shown = f"task {invocation.task!r}" + (f" on host {host.id}" if host else "")
            start = start_time(process.pid)
            started = _Started(process, host, invocation.stage, start, invocation.is_left, shown)
            self._started[process.pid] = started
            self._supervisor.watch(process.pid)
            left = {"left": str(invocation.stderr)} if invocation.is_left else {}
            self._journal.write("started", pgid=process.pid, start=started.start, **where, **left)
        return process

    def wait(self, process: subprocess.Popen[bytes], timeout_s: float | None) -> bool:
        """Wait for a process to end, without polling; whether it has.

        The thread that waits for a process is the one that started it, or was given it.
        """
        if timeout_s is None:
            process.wait()
            return True
        try:
            descriptor = os.pidfd_open(process.pid)
        except OSError:  # a kernel before 5.3, or a sandbox that forbids it
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout_s)
            return process.returncode is not None
        try:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            return bool(poll.poll(timeout_s * 1000)) or process.poll() is not None
        finally:
            os.close(descriptor)

    def note_end(self, process: subprocess.Popen[bytes]) -> None:
        """Say that a process has ended, and was waited for."""
        with self._has_changed:
            started = self._started.get(process.pid)
            if started is not None:
                started.has_ended = True
                if started.is_left:
                    with contextlib.suppress(OSError):  # the disk is full: it may be told once more
                        self._journal.write("noticed", pgid=process.pid)
            self._has_changed.notify_all()

    def wait_for_all(self, stage: str, timeout_s: float) -> bool:
        """Wait until no process that was started in a stage lives; whether that is so."""
        with self._has_changed:
            return self._has_changed.wait_for(
                lambda: all(one.has_ended for one in self._started.values() if one.stage == stage), timeout_s
            )

    def running(self, stage: str) -> bool:
        """Whether any process of a stage lives, also one that left its session."""
        with self._lock:
            of_stage = [one for one in self._started.values() if one.stage == stage]
        if any(started.process.returncode is None for started in of_stage):
            return True
        assignments = (self._supervisor.assignment, f"{STAGE_VARIABLE}={stage}")
        if of_stage and find_processes(assignments, _sessions(of_stage)):
            return True
        away = {one.host for one in of_stage if one.host is not None and one.host.is_away}
        return any(host.runs_marked(assignments) for host in away)

    def waited_for(self, stage: str) -> list[str]:
        """The tasks whose processes a stage waits for, in the order of their start."""
        with self._lock:
            return [
                one.shown
                for one in self._started.values()
                if one.stage == stage and not one.has_ended and not one.is_left
            ]

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """End one process with its session; returns when they have ended."""
        with self._lock:
            started = self._started.get(process.pid)
        if started is not None and started.host is not None:
            started.host.end_process(process)
        end_processes((), {process.pid})

    def end_all(self) -> None:
        """End all processes, and those that they left behind; none can be started until `open()`."""
        with self._lock:
            self._is_open = False
            everything = list(self._started.values())
        if not everything:
            return
        end_processes((self._supervisor.assignment,), _sessions(everything))
        for started in everything:
            self._supervisor.forget(started.process.pid)
            with contextlib.suppress(OSError):  # the disk is full; sessions are checked before they are ended
                self._journal.write("ended", pgid=started.process.pid)
        with self._lock:
            for started in everything:
                if self._started.get(started.process.pid) is started:
                    del self._started[started.process.pid]


def _start_here(invocation: Invocation, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    with invocation.stdout.open("ab") as out, invocation.stderr.open("ab") as err:
        return subprocess.Popen(
            invocation.argv,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            cwd=invocation.chdir,
            env=dict(environment),
            start_new_session=True,
        )


def _sessions(started: Sequence[_Started]) -> set[int]:
    return not_recycled({one.process.pid: one.start for one in started})
