"""One run of ansible-core: a stage of a play on all of its hosts."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from optiprov.deploy.ansible.events import EventReader
from optiprov.deploy.ansible.playbook import inventory, link_sources, playbook_text
from optiprov.deploy.processes import Invocation
from optiprov.deploy.results import failure_message, tail
from optiprov.errors import DeploymentError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from optiprov.deploy.ansible.events import Events, Job
    from optiprov.deploy.play_variables import PlayHost
    from optiprov.deploy.providers.base import Host
    from optiprov.deploy.results import TaskResult
    from optiprov.deploy.workbench import Workbench
    from optiprov.deploy.workflow import Play, Stage

PLUGINS = Path(__file__).parent / "plugins"
PLACE = "@command@"
FORKS = 25
JOB_GRACE_S = 10.0
JOB_POLL_S = 0.25
"""Nothing tells of the end of Ansible's background tasks but a file that they write."""


class Control(Protocol):
    """The stage that a run is a part of."""

    stage: Stage

    @property
    def is_over(self) -> bool:
        """Whether what ends now ends because the stage was stopped or has failed."""

    def pause(self, seconds: float) -> None:
        """Wait, not longer than the stage goes on."""

    def fail(self, error: DeploymentError, host: str | None = None) -> None:
        """Note a failure, which stops a host."""

    def watch(self, end: Callable[[], TaskResult], *, is_finite: bool) -> None:
        """Call what waits for the end of something in the background, and record its result."""


class AnsibleRun:
    """Runs a stage of a play by ansible-core, in one run; what it does is recorded as optiprov's own.

    Args:
        workbench: What it is executed with.
        play: The play.
        hosts: Its hosts.
        control: The stage.
    """

    def __init__(self, workbench: Workbench, play: Play, hosts: Sequence[PlayHost], control: Control) -> None:
        self._workbench = workbench
        self._play = play
        self._hosts = hosts
        self._control = control
        self._stage = control.stage
        self._directory = workbench.make_ansible_dir(self._stage)
        self._playbook = self._directory / "playbook.yaml"
        self._events = self._directory / "events.jsonl"

    def run(self, results: list[TaskResult]) -> None:
        """Run it, and add its results.

        Raises:
            DeploymentError: Ansible did not come to the tasks.
            StoppedError: The deployment is being stopped.
        """
        try:
            self._write()
            status = self._run_ansible()
            reader = EventReader(self._workbench, self._stage, self._play, self._playbook)
            events = reader.read(self._events)
        finally:
            self._clean()
        if self._control.is_over:
            return
        results += events.results
        for result in events.results:
            self._workbench.log(result)
        self._raise_if_incomplete(events, status)
        for job in events.jobs:
            self._watch(job)
        for host, failure in events.failures.items():
            self._control.fail(DeploymentError(failure_message(failure)), host)

    def _write(self) -> None:
        marks = self._workbench.processes.marks(self._stage)
        self._playbook.write_text(playbook_text(self._play, self._stage, self._hosts), encoding="utf-8")
        (self._directory / "inventory.json").touch(0o600)
        (self._directory / "inventory.json").write_text(inventory(self._hosts, marks), encoding="utf-8")
        (self._directory / "ansible.cfg").touch()  # so that the user's own is not read
        enter = {one.host.id: one.host.enclosed([PLACE]) for one in self._hosts}
        (self._directory / "hosts.json").touch(0o600)  # it has the hosts' environment
        (self._directory / "hosts.json").write_text(json.dumps(enter), encoding="utf-8")
        link_sources(self._directory, self._workbench.sources)

    def _clean(self) -> None:
        """Leave what tells what was run and what came of it: playbook, inventory, events, output."""
        for path in self._directory.iterdir():
            if path.is_symlink() or path.name == "hosts.json":
                path.unlink()
        for name in ("home", "tmp"):
            shutil.rmtree(self._directory / name, ignore_errors=True)

    def _run_ansible(self) -> int:
        argv = [sys.executable, "-m", "ansible.cli.playbook", "-i", str(self._directory / "inventory.json")]
        processes = self._workbench.processes
        process = processes.start(
            Invocation(
                host=None,
                stage=self._stage,
                task="ansible-playbook",
                argv=[*argv, str(self._playbook)],
                chdir=str(self._directory),
                environment=self._environment(),
                stdout=self._directory / "ansible.out",
                stderr=self._directory / "ansible.err",
            )
        )
        processes.wait(process, None)
        processes.note_end(process)
        return process.returncode

    def _environment(self) -> dict[str, str]:
        own = self._directory
        keep = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        return {
            **keep,
            "ANSIBLE_CONFIG": str(own / "ansible.cfg"),
            "ANSIBLE_HOME": str(own / "home"),
            "ANSIBLE_LOCAL_TEMP": str(own / "tmp"),
            "ANSIBLE_CONNECTION_PLUGINS": str(PLUGINS / "connection"),
            "ANSIBLE_CALLBACK_PLUGINS": str(PLUGINS / "callback"),
            "ANSIBLE_ACTION_PLUGINS": str(PLUGINS / "action"),
            "ANSIBLE_STDOUT_CALLBACK": "optiprov_events",
            "ANSIBLE_INVENTORY_ENABLED": "yaml",
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_FORKS": str(min(FORKS, len(self._hosts))),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_LOCALHOST_WARNING": "0",
            "ANSIBLE_DEPRECATION_WARNINGS": "0",
            "OPTIPROV_ANSIBLE_EVENTS": str(self._events),
            "OPTIPROV_ANSIBLE_FETCHED": str(self._workbench.fetched_dir),
            "OPTIPROV_ANSIBLE_HOSTS": str(own / "hosts.json"),
        }

    def _raise_if_incomplete(self, events: Events, status: int) -> None:
        if events.is_complete:
            return
        lines = [*tail(self._directory / "ansible.err"), *tail(self._directory / "ansible.out")]
        where = f"{self._play.path}:{self._play.line}: ansible-playbook could not run stage {self._stage}"
        told = "".join(f"\n    {line}" for line in lines)
        raise DeploymentError(f"{where} of this play (exit status {status}):{told}")

    def _watch(self, job: Job) -> None:
        host = next(one.host for one in self._hosts if one.host.id == job.result.host)
        self._control.watch(lambda: self._end_of(job, host), is_finite=True)

    def _end_of(self, job: Job, host: Host) -> TaskResult:
        """Wait for the end of a background task."""
        content: dict[str, Any] = {}
        deadline = time.time() + job.limit_s + JOB_GRACE_S
        while not _has_ended(content) and not self._control.is_over and time.time() < deadline:
            self._control.pause(JOB_POLL_S)
            content = _content(host, job.results_file)
        duration_s = time.time() - job.result.started_at.timestamp()
        status, message = content.get("rc"), str(content.get("msg") or "")
        if not _has_ended(content) and self._control.is_over:
            outcome = "stopped"
        elif status is None and duration_s >= job.limit_s:
            outcome = "ended at its limit"
        else:
            outcome = "failed" if content.get("failed") or status not in (None, 0) else "done"
        result = replace(
            job.result, outcome=outcome, status=status, message=message, duration_s=round(duration_s, 4)
        )
        return self._with_output(result, content)

    def _with_output(self, result: TaskResult, content: dict[str, Any]) -> TaskResult:
        paths = self._workbench.log_paths(result.host, self._stage, result.task.name)
        for path, name in zip(paths, ("stdout", "stderr"), strict=True):
            path.write_text(str(content.get(name, "")), encoding="utf-8")
        return replace(result, stdout=paths[0], stderr=paths[1])


def _has_ended(content: dict[str, Any]) -> bool:
    """Whether a results file says that the task has ended: it then has its result, without `started`."""
    return bool(content) and (bool(content.get("finished")) or "started" not in content)


def _content(host: Host, path: str) -> dict[str, Any]:
    """What a results file says so far; nothing while it is being written."""
    try:
        content = json.loads(host.files.read(path))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
