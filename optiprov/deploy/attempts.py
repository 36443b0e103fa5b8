"""One try of a task on one host: rendered, run, waited for."""

from __future__ import annotations

import shutil
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optiprov.deploy.frozen import frozen
from optiprov.deploy.modules import CommandModule, DirectModule, ModuleContext
from optiprov.deploy.modules.commands import needless, with_input
from optiprov.deploy.processes import Invocation
from optiprov.deploy.results import TaskResult
from optiprov.deploy.template_values import is_true
from optiprov.deploy.templating import TemplateError, render, render_file

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping

    from optiprov.deploy.modules import Outcome
    from optiprov.deploy.providers.base import Host
    from optiprov.deploy.tasks import Task
    from optiprov.deploy.workbench import Workbench

HOST_VARIABLE = "OPTIPROV_HOST"


@frozen
class Tried:
    """What a try gave.

    Attributes:
        registered: What the task registers, by Ansible's names.
        result: What is recorded.
    """

    registered: dict[str, Any]
    result: TaskResult


class Attempt:
    """One try of one task on one host, for one item of its loop; used by one thread at a time.

    Args:
        workbench: What it is executed with.
        stage: In which stage.
        task: The task.
        host: The host.
        variables: What its templates may use.
        item: What the item of its loop is called, None without a loop.
        needs_output: Whether the output is to be registered.
    """

    def __init__(
        self,
        workbench: Workbench,
        stage: str,
        task: Task,
        host: Host,
        variables: Mapping[str, Any],
        *,
        item: str | None = None,
        needs_output: bool = False,
    ) -> None:
        self.task = task
        self._workbench = workbench
        self._stage = stage
        self._host = host
        self._variables = variables
        self._item = item
        self._needs_output = needs_output
        self._arguments: Mapping[str, Any] = task.arguments
        self._started_at = datetime.now(timezone.utc)
        self._started = time.monotonic()
        self._process: subprocess.Popen[bytes] | None = None
        self._logs: tuple[Path, Path] | None = None
        self._secret_dir: Path | None = None
        self.limit_s: float | None = None

    @property
    def has_process(self) -> bool:
        """Whether a process was started."""
        return self._process is not None

    def run(self, *, is_over: Callable[[], bool]) -> Tried:
        """Try the task, to its end.

        Args:
            is_over: Tells whether a process that ends now was stopped rather than failed.

        Raises:
            StoppedError: The deployment is being stopped.
        """
        tried = self.begin()
        return self.finish(is_over=is_over) if self.has_process else tried

    def begin(self) -> Tried:
        """Do what needs no process, start the process of what needs one.

        Raises:
            StoppedError: The deployment is being stopped.
        """
        try:
            self.limit_s = self._limit()
            self._arguments = render(self.task.arguments, self._variables)
            context = self._context()
            if isinstance(self.task.module, DirectModule):
                return self._done(self.task.module.apply(self._arguments, context))
            if (outcome := needless(self._arguments, context)) is not None:
                return self._done(outcome)
            self._start(context)
        except (TemplateError, OSError, ValueError, TypeError) as error:
            message = str(error) if isinstance(error, TemplateError) else f"{type(error).__name__}: {error}"
            return self.failed(message)
        job = {"ansible_job_id": context.label, "started": True, "finished": False}
        return Tried({**job, "changed": True, "failed": False}, self._result("started", is_changed=True))

    def finish(self, *, is_over: Callable[[], bool]) -> Tried:
        """Wait for the process, for as long as the task's time limit allows."""
        assert self._process is not None  # noqa: S101  see the docstring
        has_ended = self._workbench.processes.wait(self._process, self.limit_s)
        if not has_ended:
            self._workbench.processes.end(self._process)
        status = self._process.wait()
        self._workbench.processes.note_end(self._process)
        try:
            registered = self._registered(status)
        finally:
            if self._secret_dir is not None:
                shutil.rmtree(self._secret_dir, ignore_errors=True)
        reason = self._host.reason_lost(self._process) if has_ended and not is_over() else None
        if reason is not None:
            lost = {"failed": True, "unreachable": True, "msg": reason}
            return Tried({**registered, **lost}, self._result("failed", message=reason))
        if has_ended and status == 0:
            return Tried(registered, self._result("done", status=0, is_changed=True))
        if is_over():
            return Tried(registered, self._result("stopped", status=status))
        if has_ended:
            return Tried(registered, self._result("failed", status=status, is_changed=True))
        if self.task.is_background:
            return Tried(registered, self._result("ended at its limit", status=status, is_changed=True))
        message = f"not done within its limit of {self.limit_s:g} s (async)"
        return Tried({**registered, "failed": True, "msg": message}, self._result("failed", message=message))

    def skipped(self, condition: Any) -> Tried:
        """The result of a task whose condition does not hold."""
        reason = "Conditional result was False"
        registered = {"changed": False, "skipped": True, "skip_reason": reason, "false_condition": condition}
        return Tried(registered, self._result("skipped", message=f"not so: {condition}"))

    def failed(self, message: str) -> Tried:
        """The result of a task that could not be tried."""
        registered = {"changed": False, "failed": True, "msg": message}
        return Tried(registered, self._result("failed", message=message))

    def _limit(self) -> float | None:
        limit = render(self.task.limit_s, self._variables)
        return None if limit is None else float(limit) or None

    def _done(self, outcome: Outcome) -> Tried:
        if outcome.output is not None and not self.task.is_secret:
            self._logs = self._workbench.log_paths(self._host.id, self._stage, self.task.name)
            self._logs[0].write_text(f"{outcome.output}\n", encoding="utf-8")
        registered = {"changed": outcome.changed, "failed": False, "msg": outcome.message, **outcome.details}
        registered |= {"skipped": True} if outcome.is_skipped else {}
        what = "skipped" if outcome.is_skipped else "done"
        return Tried(registered, self._result(what, message=outcome.message, is_changed=outcome.changed))

    def _start(self, context: ModuleContext) -> None:
        module = self.task.module
        assert isinstance(module, CommandModule)  # noqa: S101  see the docstring
        argv = with_input(module.argv(self._arguments, context), self._arguments, context)
        chdir = self._arguments.get("chdir")
        self._logs = self._output_paths()
        self._process = self._workbench.processes.start(
            Invocation(
                host=self._host,
                stage=self._stage,
                task=self.task.name,
                argv=argv,
                chdir=str(chdir) if chdir else None,
                environment={**self._environment(), HOST_VARIABLE: self._host.placement.own_id},
                stdout=self._logs[0],
                stderr=self._logs[1],
                # What a secret task writes is nobody's to be pointed to.
                is_left=self.task.is_background and self.limit_s is None and not self.task.is_secret,
            )
        )

    def _environment(self) -> dict[str, str]:
        own: dict[Any, Any] = {}
        for given in (self._host.placement.env, *self.task.environment):
            rendered = render(given, self._variables)
            if not isinstance(rendered, dict):
                raise ValueError(f"environment: got {rendered!r}, expected a mapping of variables")  # noqa: TRY004  a value that a template gave
            own |= rendered
        return {str(name): str(value) for name, value in own.items()}

    def _output_paths(self) -> tuple[Path, Path]:
        if not self.task.is_secret:
            return self._workbench.log_paths(self._host.id, self._stage, self.task.name)
        self._secret_dir = Path(tempfile.mkdtemp(prefix="optiprov-"))
        return self._secret_dir / "out", self._secret_dir / "err"

    def _context(self) -> ModuleContext:
        variables, sources = self._variables, self._workbench.sources
        return ModuleContext(
            host=self._host,
            sources=sources,
            fetched_dir=self._workbench.fetched_dir,
            render_file=lambda text, **options: render_file(text, variables, sources=sources, **options),
            evaluate=lambda expression: render(f"{{{{ {expression} }}}}", variables),
            label=self._workbench.next_label(self._host.id, self._stage),
        )

    def _registered(self, status: int) -> dict[str, Any]:
        """What a process registers; its output only where it is asked for, as it may be long."""
        ended_at = datetime.now(timezone.utc)
        registered: dict[str, Any] = {
            "changed": True,
            "failed": status != 0,
            "rc": status,
            "cmd": self._arguments.get("cmd", self._arguments.get("argv")),
            "msg": "" if status == 0 else "non-zero return code",
            "start": str(self._started_at.replace(tzinfo=None)),
            "end": str(ended_at.replace(tzinfo=None)),
            "delta": str(ended_at - self._started_at),
        }
        if self._needs_output and self._logs is not None:
            module = self.task.module
            strips = isinstance(module, CommandModule) and module.strips_output
            strips = strips and is_true(self._arguments.get("strip_empty_ends", True))
            for name, path in zip(("stdout", "stderr"), self._logs, strict=True):
                text = path.read_bytes().decode(errors="replace")
                registered[name] = text.rstrip("\r\n") if strips else text
                registered[f"{name}_lines"] = registered[name].splitlines()
        return registered

    def _result(
        self, outcome: str, *, status: int | None = None, message: str = "", is_changed: bool = False
    ) -> TaskResult:
        shown = self._logs if self._secret_dir is None else None
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
            stdout=shown[0] if shown else None,
            stderr=shown[1] if shown else None,
            is_changed=is_changed,
            item=self._item,
        )
