"""Runs studies by the command line, in an environment of their own, and looks at what they leave."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from tests.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MODES = Path(__file__).parent / "modes" / "optimization.py"


class StudyRun:
    """One `optiprov optimize` in a directory with a home and a temporary directory of its own."""

    def __init__(self, directory: Path, target: Path, *options: str, **variables: str) -> None:
        self.directory = directory
        self.home = directory / "home"
        self.work = directory / "work"
        self.temporary = Path(tempfile.mkdtemp(prefix="op", dir="/tmp"))  # Ray's sockets need a short path
        for made in (self.home, self.work):
            made.mkdir(parents=True)
        self.output = directory / "output.txt"
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("OPTIPROV_", "RAY_", "PROVLIGHT_"))
        }
        environment |= {"HOME": str(self.home), "TMPDIR": str(self.temporary), **variables}
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "optiprov.cli", "optimize", str(target), "--name", "study", *options],
                cwd=self.work,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_take_interrupts,
            )

    @property
    def results(self) -> Path:
        """The study's directory."""
        return self.work / "results" / "study"

    @property
    def store(self) -> Path:
        """The study's store."""
        return self.results / "provenance.duckdb"

    def text(self) -> str:
        """What it has printed."""
        return self.output.read_text(encoding="utf-8", errors="replace")

    def wait(self, timeout_s: float = 280.0) -> int:
        """Wait for its end and return its exit status."""
        return self.process.wait(timeout_s)

    def wait_until(self, holds: Callable[[], bool], timeout_s: float = 150.0) -> None:
        """Wait until a condition on a running study holds."""
        deadline = time.monotonic() + timeout_s
        while not holds():
            assert self.process.poll() is None, f"the study has ended:\n{self.text()}"
            assert time.monotonic() < deadline, f"it does not come to that:\n{self.text()}"
            time.sleep(0.05)

    def signal(self, number: int) -> None:
        """Send the driver a signal."""
        self.process.send_signal(number)

    def processes(self) -> list[psutil.Process]:
        """The processes of the study that live, the driver among them: they have its paths in hand."""
        mine = [str(self.directory), str(self.temporary)]
        found = []
        for process in psutil.process_iter():
            try:
                known = " ".join([*process.cmdline(), *process.environ().values()])
                is_zombie = process.status() == psutil.STATUS_ZOMBIE
            except (psutil.Error, OSError):
                continue
            if any(path in known for path in mine) and process.pid != os.getpid() and not is_zombie:
                found.append(process)
        return found

    def applications(self) -> list[psutil.Process]:
        """The processes of the application that live."""
        return [process for process in self.processes() if "application.py" in _command(process)]

    def wait_gone(self) -> None:
        """Wait until no process of the study lives."""
        deadline = time.monotonic() + PATIENCE_S
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not left, [_command(process) for process in left]

    def close(self) -> None:
        """Kill what a failed test leaves."""
        for process in self.processes():
            process.send_signal(signal.SIGKILL)
        self.process.wait(60)
        shutil.rmtree(self.temporary, ignore_errors=True)


def _take_interrupts() -> None:
    """Have SIGINT delivered also where the tests run in the background of a shell, which ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@contextmanager
def study(directory: Path, target: Path = MODES, *options: str, **variables: str) -> Iterator[StudyRun]:
    """Start a study, and see to it that nothing of it is left behind."""
    run = StudyRun(directory, target, *options, **variables)
    try:
        yield run
    finally:
        run.close()
