"""What ansible-core did, as the results that a stage records."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optiprov.deploy.ansible.playbook import OWN_FETCH
from optiprov.deploy.frozen import frozen
from optiprov.deploy.results import TaskResult
from optiprov.deploy.task_reading import PREFIXES
from optiprov.deploy.tasks import Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optiprov.deploy.workbench import Workbench
    from optiprov.deploy.workflow import Play, Stage


@frozen
class Job:
    """A background task that Ansible started.

    Attributes:
        result: The result of starting it.
        results_file: Where Ansible writes what became of it; a path of the host.
        limit_s: Its time limit.
    """

    result: TaskResult
    results_file: str
    limit_s: float


@frozen
class Events:
    """What a run of Ansible did.

    Attributes:
        results: One for each task and host, or for each item.
        failures: By host, the result that failed it.
        jobs: What was started in the background.
        is_complete: Whether the run came to its end.
    """

    results: list[TaskResult]
    failures: Mapping[str, TaskResult]
    jobs: list[Job]
    is_complete: bool


class EventReader:
    """Reads the events of one run.

    Args:
        workbench: Where output goes.
        stage: The stage.
        play: The play.
        playbook: The playbook, whose lines are those of workflow.yaml.
    """

    def __init__(self, workbench: Workbench, stage: Stage, play: Play, playbook: Path) -> None:
        self._workbench = workbench
        self._stage = stage
        self._play = play
        self._playbook = playbook

    def read(self, path: Path) -> Events:
        """The results in a file of events; output of tasks goes to their logs."""
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        # A run that was killed may leave a line that has no end.
        events = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
        failed_hosts = {host for event in events for host in event.get("failed_hosts", ())}
        results: list[TaskResult] = []
        failures: dict[str, TaskResult] = {}
        jobs = []
        for event in events:
            if "failed_hosts" in event:
                continue
            result = self._result(event)
            if result.outcome == "failed" and not result.is_ignored:
                failures[result.host] = failures.get(result.host, result) if event["is_loop"] else result
            if event["is_loop"]:
                continue
            results.append(result)
            if event["is_background"] and "results_file" in event["result"]:
                jobs.append(Job(result, event["result"]["results_file"], event["limit_s"]))
        is_complete = any("failed_hosts" in event for event in events)
        of_failed = {host: one for host, one in failures.items() if host in failed_hosts or not is_complete}
        for index, result in enumerate(results):
            if result.outcome == "failed" and of_failed.get(result.host) is not result:
                results[index] = replace(result, is_ignored=True)  # rescued, or ignored
        return Events(results, of_failed, jobs, is_complete=is_complete)

    def _result(self, event: Mapping[str, Any]) -> TaskResult:
        content = event["result"]
        action = event["action"]
        for prefix in PREFIXES:
            action = action.removeprefix(prefix)
        action = "fetch" if action == OWN_FETCH else action
        path = Path(event["path"])
        task = Task(
            name=action if event["task"] == event["action"] else event["task"],
            module=None,
            path=self._play.path if path == self._playbook else path.resolve(),
            line=event["line"],
            needs_ansible=action,
            is_background=event["is_background"],
            is_secret="censored" in content,
        )
        outcome = "started" if event["is_background"] and event["outcome"] == "done" else event["outcome"]
        stdout, stderr = self._write_output(event, task)
        message = content.get("msg") or content.get("skip_reason") or ""
        return TaskResult(
            task=task,
            stage=self._stage,
            host=event["host"],
            arguments=_arguments(content),
            outcome=outcome,
            started_at=datetime.fromtimestamp(event["started_at"], timezone.utc),
            duration_s=event["ended_at"] - event["started_at"],
            status=content.get("rc"),
            message=message if isinstance(message, str) else json.dumps(message),
            stdout=stdout,
            stderr=stderr,
            is_changed=bool(content.get("changed")),
            is_ignored=event["is_ignored"],
            item=None if event["item"] is None else str(event["item"]),
        )

    def _write_output(self, event: Mapping[str, Any], task: Task) -> tuple[Path | None, Path | None]:
        content = event["result"]
        told = content.get("stdout"), content.get("stderr") or content.get("module_stderr")
        if task.needs_ansible == "debug":
            told_by_it = content.get("msg", content)
            is_text = isinstance(told_by_it, str)
            told = told_by_it if is_text else json.dumps(told_by_it, ensure_ascii=False), None
        if not any(isinstance(text, str) for text in told) or event["is_loop"]:
            return None, None
        paths = self._workbench.log_paths(event["host"], self._stage, task.name)
        for path, text in zip(paths, told, strict=True):
            path.write_text(f"{text}\n" if text else "", encoding="utf-8")
        return paths


def _arguments(content: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that a module got, as far as it tells them."""
    told = content.get("invocation", {}).get("module_args") or {}
    arguments = {name: value for name, value in told.items() if value is not None}
    return arguments | ({"cmd": content["cmd"]} if "cmd" in content else {})
