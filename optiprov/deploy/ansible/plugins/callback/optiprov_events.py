"""Writes what Ansible's tasks did, a JSON object a line, for the records of a deployment."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: optiprov_events
type: stdout
short_description: write results for optiprov
description:
  - Writes a line for each result into the file that the environment names.
author: The optiprov developers
"""

EVENTS_VARIABLE = "OPTIPROV_ANSIBLE_EVENTS"


class CallbackModule(CallbackBase):
    """Writes an event for each result of a task, or of an item, on a host; the last has the statistics."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "optiprov_events"

    def __init__(self) -> None:
        super().__init__()
        self._file = Path(os.environ[EVENTS_VARIABLE]).open("a", encoding="utf-8")  # noqa: SIM115  open as long as the run
        self._starts: dict[tuple[str, str], float] = {}

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        """A task begins on a host."""
        self._starts[host.get_name(), task._uuid] = time.time()

    def v2_runner_on_ok(self, result: Any) -> None:
        """A task is done."""
        self._write("done", result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """A task has failed."""
        self._write("failed", result, is_ignored=bool(ignore_errors))

    def v2_runner_on_skipped(self, result: Any) -> None:
        """A task was skipped."""
        self._write("skipped", result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """The host could not be reached."""
        self._write("failed", result)

    def v2_runner_item_on_ok(self, result: Any) -> None:
        """A task is done for an item."""
        self._write("done", result, is_item=True)

    def v2_runner_item_on_failed(self, result: Any) -> None:
        """A task has failed for an item."""
        self._write("failed", result, is_item=True)

    def v2_runner_item_on_skipped(self, result: Any) -> None:
        """A task was skipped for an item."""
        self._write("skipped", result, is_item=True)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """The run has ended: which hosts have failed."""
        failed = [host for host in stats.processed if stats.failures.get(host) or stats.dark.get(host)]
        self._emit({"failed_hosts": sorted(failed)})

    def _write(self, outcome: str, result: Any, *, is_item: bool = False, is_ignored: bool = False) -> None:
        task, host = result._task, result._host.get_name()
        content = json.loads(self._dump_results(result._result, sort_keys=False))
        now = time.time()
        path, _, line = (task.get_path() or ":0").rpartition(":")
        self._emit(
            {
                "host": host,
                "task": task.get_name().strip() or task.action,
                "action": task.action,
                "path": path,
                "line": int(line),
                "outcome": outcome,
                "is_ignored": is_ignored,
                "is_item": is_item,
                "item": result._result.get("_ansible_item_label") if is_item else None,
                "is_loop": not is_item and "results" in content and bool(task.loop),
                "limit_s": task.async_val or None,
                "is_background": bool(task.async_val) and not task.poll,
                "started_at": self._starts.get((host, task._uuid), now),
                "ended_at": now,
                "result": content,
            }
        )

    def _emit(self, event: dict[str, Any]) -> None:
        self._file.write(json.dumps(event, default=str) + "\n")
        self._file.flush()
