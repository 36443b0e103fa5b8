"""The processes that a service has on its hosts, and the log of what it did there."""

from __future__ import annotations

import logging
import shlex
import threading
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from optiprov.deploy.frozen import frozen
from optiprov.deploy.processes import Invocation
from optiprov.deploy.results import tail
from optiprov.errors import DeploymentError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from optiprov.deploy.processes import ProcessTable
    from optiprov.deploy.providers.base import Host
    from optiprov.deploy.workbench import Workbench

logger = logging.getLogger(__name__)

STAGE = "services"
"""What the files call the time in which services are deployed, where those of tasks have their stage."""


@frozen
class Ran:
    """What became of a command on a host.

    Attributes:
        host: The host's id.
        command: The command.
        status: Its exit status, negative for a signal.
        stdout: What it printed.
        stderr: Its errors.
    """

    host: str
    command: str
    status: int
    stdout: str
    stderr: str


@frozen
class Options:
    """How a command runs.

    Attributes:
        env: Variables beside the service's.
        chdir: Its directory, None for the working directory.
    """

    env: Mapping[str, object] | None = None
    chdir: str | None = None


class Running:
    """A process that a service has started on a host, and that goes on until the service ends.

    Attributes:
        host: The host's id.
        name: What it is called, in its logs too.
        stdout: Where its output lies.
        stderr: Where its errors lie.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], invocation: Invocation, processes: ProcessTable
    ) -> None:
        self.host = invocation.host.id if invocation.host is not None else ""
        self.name = invocation.task
        self.stdout = invocation.stdout
        self.stderr = invocation.stderr
        self._process = process
        self._processes = processes
        self._is_stopped = False
        threading.Thread(target=self._reap, name="service", daemon=True).start()

    @property
    def pid(self) -> int:
        """The process on this machine that it is, or that stands for it."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    @property
    def has_failed(self) -> bool:
        """Whether it has ended by itself with another status than 0, or by a signal."""
        return self._process.poll() not in (None, 0) and not self._is_stopped

    def stop(self) -> None:
        """End it and what it has started: TERM, KILL after 3 s."""
        self._is_stopped = True
        self._processes.end(self._process)
        self._process.wait()

    def last_words(self) -> str:
        """How it ended, and the last lines of what it wrote; for messages."""
        lines = _last_lines(self.stderr, self.stdout)
        return f"ended with exit status {self._process.poll()}.{lines}"

    def _reap(self) -> None:
        self._process.wait()
        self._processes.note_end(self._process)
        if not self._is_stopped and not self._processes.is_ended(self._process):
            logger.warning("%s on host %s has %s", self.name, self.host, self.last_words())


class HostWork:
    """Runs the commands of one service on one host, and writes down what it did.

    Args:
        host: The host.
        workbench: What it is done with.
        environment: Variables of the service, and of its processes.
    """

    def __init__(self, host: Host, workbench: Workbench, environment: Mapping[str, str]) -> None:
        self._host = host
        self._workbench = workbench
        self._environment = dict(environment)

    def run(
        self, command: str | Sequence[str], name: str | None, timeout_s: float | None, options: Options
    ) -> Ran:
        """Run a command to its end, which its time limit may be."""
        invocation = self._invocation(command, name, is_left=False, options=options)
        processes = self._workbench.processes
        process = processes.start(invocation)
        has_ended = processes.wait(process, timeout_s)
        if not has_ended:
            processes.end(process)
        status = process.wait()
        processes.note_end(process)
        shown = shown_command(command)
        self.log(f"ran {shown!r}: exit status {status}", invocation.stdout)
        if not has_ended and not processes.is_ended(process):
            raise DeploymentError(f"{shown!r} on host {self._host.id}: not done in {timeout_s:g} s")
        outputs = (path.read_bytes().decode(errors="replace") for path in _outputs(invocation))
        return Ran(self._host.id, shown, status, *outputs)

    def start(self, command: str | Sequence[str], name: str | None, options: Options) -> Running:
        """Start a process that goes on."""
        invocation = self._invocation(command, name, is_left=True, options=options)
        running = Running(self._workbench.processes.start(invocation), invocation, self._workbench.processes)
        self.log(f"started {shown_command(command)!r}", invocation.stdout)
        return running

    def wait(self, command: Sequence[str], timeout_s: float, goes_on: Callable[[], bool]) -> bool:
        """Wait for a command to succeed, as long as something goes on; whether it has."""
        processes = self._workbench.processes
        invocation = self._invocation(command, "wait", is_left=False, options=Options())
        process = processes.start(invocation)
        waited_s, step_s = 0.0, 0.2
        while not (has_ended := processes.wait(process, step_s)) and waited_s < timeout_s and goes_on():
            waited_s += step_s
        if not has_ended:
            processes.end(process)
        status = process.wait()
        processes.note_end(process)
        for path in _outputs(invocation):
            path.unlink(missing_ok=True)  # of no interest
        return has_ended and status == 0

    def source(self, src: str) -> Path:
        """A file of the artifacts or the scenario.

        Raises:
            DeploymentError: There is none.
        """
        sources = self._workbench.sources
        for directory in sources:
            if (directory / src).exists():
                return directory / src
        looked = " and ".join(map(str, sources))
        raise DeploymentError(f"src {src!r} is not there; looked in {looked}")

    def log(self, what: str, output: Path | None = None) -> None:
        """Write a line to the host's log, `logs/<host>/services.log`."""
        at = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        where = f"  {output.name}" if output is not None else ""
        self._workbench.log_line(self._host.id, STAGE, f"{at}  {what}{where}")

    def _invocation(
        self,
        command: str | Sequence[str],
        name: str | None,
        *,
        is_left: bool,
        options: Options,
    ) -> Invocation:
        argv = [self._host.shell, "-c", command] if isinstance(command, str) else list(map(str, command))
        name = name or next(iter(shown_command(command).split()), "nothing").rpartition("/")[2]
        stdout, stderr = self._workbench.log_paths(self._host.id, STAGE, name)
        own = {key: str(value) for key, value in (options.env or {}).items()}
        environment = {**self._environment, **own}
        return Invocation(
            self._host, STAGE, name, argv, options.chdir, environment, stdout, stderr, is_left=is_left
        )


def shown_command(command: str | Sequence[str]) -> str:
    """A command as a message may have it."""
    return command if isinstance(command, str) else shlex.join(map(str, command))


def require_success(ran: Ran) -> None:
    """Raise where a command has failed.

    Raises:
        DeploymentError: With the host, the command, its status and the last lines of what it wrote.
    """
    if ran.status != 0:
        text = (ran.stderr.strip() or ran.stdout.strip()).splitlines()[-20:]
        lines = "".join(f"\n    {line}" for line in text)
        raise DeploymentError(
            f"{ran.command!r} failed on host {ran.host} with exit status {ran.status}.{lines}"
        )


def _outputs(invocation: Invocation) -> tuple[Path, Path]:
    return invocation.stdout, invocation.stderr


def _last_lines(*paths: Path) -> str:
    for path in paths:
        if path.exists() and (lines := tail(path)):
            return f" {path}, last lines:" + "".join(f"\n    {line}" for line in lines)
    return ""
