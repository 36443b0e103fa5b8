"""One task on one host: rendered, run, waited for."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from optiprov.deploy.modules import CommandModule, FileModule
from optiprov.deploy.modules.base import FileContext
from optiprov.deploy.processes import Invocation
from optiprov.deploy.results import TaskResult, failure_message
from optiprov.deploy.templating import TemplateError, render, render_text

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from optiprov.deploy.processes import ProcessTable
    from optiprov.deploy.providers.base import Host
    from optiprov.deploy.record import WorkflowRecord
    from optiprov.deploy.scenario import Scenario
    from optiprov.deploy.tasks import Task
    from optiprov.deploy.variables import Variables

HOST_VARIABLE = "OPTIPROV_HOST"


class TaskFailedError(Exception):
    """A task failed; has its result. Never leaves the package."""

    def __init__(self, result: TaskResult) -> None:
        super().__init__(failure_message(result))
        self.result = result


@dataclass
class Workbench:
    """What the tasks of a deployment are executed with.

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
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def log_paths(self, host: str, stage: str, task: str) -> tuple[Path, Path]:
        """Where the output of a task goes: `logs/<host>/<stage>-<nn>-<task>.out` and `.err`."""
        with self._lock:
            number = self._numbers[host, stage] = self._numbers.get((host, stage), 0) + 1
        name = f"{stage}-{number:02d}-{re.sub(r'[^A-Za-z0-9_.-]+', '-', task)[:60].strip('-')}"
        directory = self.directory / "logs" / host
        directory.mkdir(parents=True, exist_ok=True)
        return directory / f"{name}.out", directory / f"{name}.err"


class Execution:
    """The execution of one task on one host; used by one thread at a time.

    Args:
        workbench: What it is executed with.
        stage: In which stage.
        task: The task.
        host: The host.
        variables: What its templates may use.
    """

    def __init__(
        self, workbench: Workbench, stage: str, task: Task, host: Host, variables: Mapping[str, Any]
    ) -> None:
        self.task = task
        self._workbench = workbench
        self._stage = stage
        self._host = host
        self._variables = variables
        self._arguments: Mapping[str, Any] = task.arguments
        self._started_at = datetime.now(timezone.utc)
        self._started = time.monotonic()
        self._process: subprocess.Popen[bytes] | None = None
        self._stdout: Path | None = None
        self._stderr: Path | None = None

    @property
    def has_process(self) -> bool:
        """Whether a process was started."""
        return self._process is not None

    def run(self, *, is_over: Callable[[], bool]) -> TaskResult:
        """Execute the task to its end.

        Args:
            is_over: Tells whether a process that ends now was stopped rather than failed.

        Raises:
            TaskFailedError: It failed.
            StoppedError: The deployment is being stopped.
        """
        result = self.begin()
        return self.finish(is_over=is_over) if self.has_process else result

    def begin(self) -> TaskResult:
        """Execute a task that works on files, start the process of another.

        Raises:
            TaskFailedError: It failed.
            StoppedError: The deployment is being stopped.
        """
        try:
            self._arguments = render(self.task.arguments, self._variables)
            if isinstance(self.task.module, FileModule):
                return self._result(
                    "done", message=self.task.module.apply(self._arguments, self._file_context())
                )
            self._start()
        except (TemplateError, OSError, ValueError) as error:
            message = str(error) if isinstance(error, TemplateError) else f"{type(error).__name__}: {error}"
            raise TaskFailedError(self._result("failed", message=message)) from error
        return self._result("started")

    def finish(self, *, is_over: Callable[[], bool]) -> TaskResult:
        """Wait for the process, for as long as the task's time limit allows.

        Raises:
            TaskFailedError: It ended with another status than 0, or the limit ended a foreground task.
        """
        assert self._process is not None  # noqa: S101  `has_process` is checked
        status, is_expired = self._wait(self._process)
        if is_expired and self.task.is_background:
            return self._result("ended at its limit", status=status)
        if status == 0 and not is_expired:
            return self._result("done", status=0)
        if is_over():
            return self._result("stopped", status=status)
        message = f"not done within its limit of {self.task.limit_s:g} s (async)" if is_expired else ""
        raise TaskFailedError(self._result("failed", status=None if is_expired else status, message=message))

    def _start(self) -> None:
        module = self.task.module
        assert isinstance(module, CommandModule)  # noqa: S101  there are two kinds
        self._stdout, self._stderr = self._workbench.log_paths(self._host.id, self._stage, self.task.name)
        own = render(self._host.placement.env, self._variables) | render(
            self.task.environment, self._variables
        )
        environment = {str(name): str(value) for name, value in own.items()}
        self._process = self._workbench.processes.start(
            Invocation(
                host=self._host,
                stage=self._stage,
                task=self.task.name,
                argv=module.argv(self._arguments, self._host),
                chdir=self._arguments.get("chdir"),
                environment={**environment, HOST_VARIABLE: self._host.id},
                stdout=self._stdout,
                stderr=self._stderr,
            )
        )

    def _wait(self, process: subprocess.Popen[bytes]) -> tuple[int, bool]:
        """The exit status, and whether the time limit ended the process."""
        if self.task.limit_s is None:
            return process.wait(), False
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            self._workbench.processes.end(process)

        timer = threading.Timer(self.task.limit_s, expire)
        timer.daemon = True
        timer.start()
        try:
            return process.wait(), expired.is_set()
        finally:
            timer.cancel()

    def _file_context(self) -> FileContext:
        scenario = self._workbench.scenario
        return FileContext(
            host=self._host,
            sources=tuple(dict.fromkeys((scenario.artifacts_dir, scenario.directory))),
            fetched_dir=self._workbench.directory / "fetched",
            render=lambda text: render_text(text, self._variables),
        )

    def _result(self, outcome: str, *, status: int | None = None, message: str = "") -> TaskResult:
        return TaskResult(
            task=self.task,
            stage=self._stage,
            host=self._host.id,
            arguments=self._arguments,
            outcome=outcome,
            started_at=self._started_at,
            duration_s=time.monotonic() - self._started,
            status=status,
            message=message,
            stdout=self._stdout,
            stderr=self._stderr,
        )
