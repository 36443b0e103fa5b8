"""What the tasks of a deployment are executed with, and where what they write goes."""

from __future__ import annotations

import contextlib
import itertools
import re
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from optiprov.deploy.processes import ProcessTable
    from optiprov.deploy.record import WorkflowRecord
    from optiprov.deploy.results import TaskResult
    from optiprov.deploy.scenario import Scenario
    from optiprov.deploy.variables import Variables

NAME_LENGTH = 60


@dataclass
class Workbench:
    """What the tasks of a deployment are executed with. Safe to use from several threads.

    Attributes:
        scenario: The scenario.
        directory: The directory of the deployment.
        variables: What templates may use.
        processes: Where processes are started.
        record: Where results are written.
    """

    scenario: Scenario
    directory: Path
    variables: Variables
    processes: ProcessTable
    record: WorkflowRecord
    _numbers: dict[tuple[str, str], int] = field(default_factory=dict)
    _executions: dict[tuple[str, str], int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def sources(self) -> tuple[Path, ...]:
        """Where a relative `src` is looked for, in turn."""
        return tuple(dict.fromkeys((self.scenario.artifacts_dir, self.scenario.directory)))

    @property
    def fetched_dir(self) -> Path:
        """Where what was fetched lies, in a folder for each host."""
        return self.directory / "fetched"

    def next_label(self, host: str, stage: str) -> str:
        """A file name that no other execution on a host has in this stage; the same in each run."""
        with self._lock:
            number = self._executions[host, stage] = self._executions.get((host, stage), 0) + 1
            return f"{stage}-{number}"

    def make_ansible_dir(self, stage: str) -> Path:
        """A directory for one more run of ansible-core, `ansible/<stage>-<nn>`."""
        for number in itertools.count(1):
            directory = self.directory / "ansible" / f"{stage}-{number:02d}"
            with contextlib.suppress(FileExistsError):  # of an earlier play or command
                directory.mkdir(parents=True)
                break
        return directory

    def log_paths(self, host: str, stage: str, task: str) -> tuple[Path, Path]:
        """Where the output of a task goes: `logs/<host>/<stage>-<nn>-<task>.out` and `.err`."""
        with self._lock:
            number = self._numbers[host, stage] = self._numbers.get((host, stage), 0) + 1
            directory = self._log_dir(host)
            while (
                directory / f"{self._log_name(stage, number, task)}.out"
            ).exists():  # of an earlier command
                number = self._numbers[host, stage] = number + 1
        name = self._log_name(stage, number, task)
        return directory / f"{name}.out", directory / f"{name}.err"

    def log(self, result: TaskResult) -> None:
        """Write a line on what became of a task to its host's log, `logs/<host>/<stage>.log`."""
        self.log_line(result.host, result.stage, result.as_line())

    def log_line(self, host: str, stage: str, line: str) -> None:
        """Write a line to a host's log, `logs/<host>/<stage>.log`."""
        path = self._log_dir(host) / f"{stage}.log"
        with self._lock, path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    @staticmethod
    def _log_name(stage: str, number: int, task: str) -> str:
        return f"{stage}-{number:02d}-{re.sub(r'[^A-Za-z0-9_.-]+', '-', task)[:NAME_LENGTH].strip('-')}"

    def _log_dir(self, host: str) -> Path:
        directory = self.directory / "logs" / host
        directory.mkdir(parents=True, exist_ok=True)
        return directory
