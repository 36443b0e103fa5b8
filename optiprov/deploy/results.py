"""What became of tasks: results for the record, and the message of a failure."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

from optiprov.deploy.frozen import frozen
from optiprov.deploy.template_values import plain

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from optiprov.deploy.tasks import Task

TAIL_LINES = 20
TAIL_BYTES = 16_384
HIDDEN = "hidden (no_log)"


@frozen
class TaskResult:
    """What became of one task on one host, or for one item of its loop.

    Attributes:
        task: The task.
        stage: The stage.
        host: The host's id.
        arguments: The rendered arguments.
        outcome: `done`, `failed`, `skipped`, `started` (in the background), `stopped` or
            `ended at its limit`.
        started_at: When it began, UTC.
        duration_s: How long it took.
        status: Exit status, negative for a signal; None where there is no process.
        message: What a module did, or why it failed.
        stdout: Where the output of its process lies.
        stderr: Where the error output of its process lies.
        is_changed: Whether the host is another than before.
        is_ignored: Whether its failure stops nothing (`ignore_errors`).
        item: What the item of its loop is called, None without a loop.
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
    is_changed: bool = False
    is_ignored: bool = False
    item: str | None = None

    @property
    def where(self) -> str:
        """The file and line of the task."""
        return f"{self.task.path}:{self.task.line}"

    @property
    def _shown_arguments(self) -> Any:
        return HIDDEN if self.task.is_secret else plain(self.arguments)

    def as_record(self) -> dict[str, Any]:
        """The result as workflow-validate.out has it."""
        record: dict[str, Any] = {
            "host": self.host,
            "task": self.task.name,
            "line": self.task.line,
            self.task.module_name: self._shown_arguments,
            "outcome": self.outcome,
            "changed": self.is_changed,
            "started_at": self.started_at.isoformat(),
            "duration_s": round(self.duration_s, 4),
        }
        optional: dict[str, Any] = {
            "item": self.item,
            "ignored": self.is_ignored or None,
            "status": self.status,
            "message": HIDDEN if self.message and self.task.is_secret else self.message or None,
            "stdout": self.stdout and str(self.stdout),
            "stderr": self.stderr and str(self.stderr),
        }
        return record | {key: value for key, value in optional.items() if value is not None}

    def as_line(self) -> str:
        """The result as the log of its host has it: one line, whatever its message holds."""
        parts = [
            self.started_at.isoformat(timespec="milliseconds"),
            f"{self.duration_s:.3f} s",
            f"{self.task.path.name}:{self.task.line}",
            f"{self.task.module_name} {self.task.name!r}",
            *([f"item {self.item}"] if self.item is not None else []),
            f"{self.outcome}{', ignored' if self.is_ignored else ''}{', changed' if self.is_changed else ''}",
            *([_describe_status(self.status)] if self.status is not None else []),
            *([self.stdout.name] if self.stdout is not None else []),
            *([HIDDEN if self.task.is_secret else self.message] if self.message else []),
        ]
        return "  ".join(parts).replace("\n", "\\n")


def failure_message(result: TaskResult) -> str:
    """Where a task failed, what it ran, how it ended, and the tail of what it wrote."""
    where = f"{result.where}: task {result.task.name!r} of stage {result.stage} failed on host {result.host}"
    if result.item is not None:
        where = f"{where} for item {result.item}"
    if result.task.is_secret:
        return f"{where}: {_describe_status(result.status) if result.status is not None else HIDDEN}"
    if result.status is None:
        return f"{where}: {result.message}"
    command = result.arguments.get("cmd") or result.arguments.get("argv")
    lines = [f"{where} with {_describe_status(result.status)}."]
    lines += [f"  command: {command}"] if command else []
    lines += [f"  {result.message}"] if result.message else []
    for what, path in (("stderr", result.stderr), ("stdout", result.stdout)):
        if path is not None and (lines_of := tail(path)):
            lines += [f"  {what} ({path}), last lines:", *(f"    {line}" for line in lines_of)]
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


def tail(path: Path) -> list[str]:
    """The last lines of a file."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        return file.read().decode(errors="replace").splitlines()[-TAIL_LINES:]
