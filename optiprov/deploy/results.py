"""What became of tasks: results for the record, and the message of a failure."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from optiprov.deploy.tasks import Task

TAIL_LINES = 20
TAIL_BYTES = 16_384


@dataclass(frozen=True)
class TaskResult:
    """What became of one task on one host.

    Attributes:
        task: The task.
        stage: The stage.
        host: The host's id.
        arguments: The rendered arguments.
        outcome: `done`, `failed`, `started` (in the background), `stopped` or `ended at its limit`.
        started_at: When it began, UTC.
        duration_s: How long it took.
        status: Exit status, negative for a signal; None where there is no process.
        message: What a file module did, or why it failed.
        stdout: Where the output of its process lies.
        stderr: Where the error output of its process lies.
    """

    task: Task
    stage: str
    host: str
    arguments: Mapping[str, Any]
    outcome: str
    started_at: datetime
    duration_s: float
    status: int | None = None
    message: str = ""
    stdout: Path | None = None
    stderr: Path | None = None

    def as_record(self) -> dict[str, Any]:
        """The result as workflow-validate.out has it."""
        record: dict[str, Any] = {
            "host": self.host,
            "task": self.task.name,
            "line": self.task.line,
            self.task.module.name: dict(self.arguments),
            "outcome": self.outcome,
            "started_at": self.started_at.isoformat(),
            "duration_s": round(self.duration_s, 4),
        }
        optional: dict[str, Any] = {"status": self.status, "message": self.message or None}
        optional |= {"stdout": self.stdout and str(self.stdout), "stderr": self.stderr and str(self.stderr)}
        return record | {key: value for key, value in optional.items() if value is not None}


def failure_message(result: TaskResult) -> str:
    """Where a task failed, what it ran, how it ended, and the tail of what it wrote."""
    task = result.task
    where = (
        f"{task.path}:{task.line}: task {task.name!r} of stage {result.stage} failed on host {result.host}"
    )
    if result.status is None:
        return f"{where}: {result.message}"
    command = result.arguments.get("cmd") or result.arguments.get("argv")
    lines = [f"{where} with {_describe_status(result.status)}.", f"  command: {command}"]
    for what, path in (("stderr", result.stderr), ("stdout", result.stdout)):
        if path is not None and (tail := _tail(path)):
            lines += [f"  {what} ({path}), last lines:", *(f"    {line}" for line in tail)]
            break
    return "\n".join(lines)


def _describe_status(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = "unknown"
    return f"exit status {status} (signal {name})"


def _tail(path: Path) -> list[str]:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        return file.read().decode(errors="replace").splitlines()[-TAIL_LINES:]
