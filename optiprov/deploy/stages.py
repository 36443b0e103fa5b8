"""One stage of a workflow: plays in turn, the hosts of a play side by side, the tasks of a host in turn."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from optiprov.deploy.execution import Execution, TaskFailedError
from optiprov.deploy.processes import StoppedError
from optiprov.errors import DeploymentError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from optiprov.deploy.execution import Workbench
    from optiprov.deploy.providers.base import Host
    from optiprov.deploy.results import TaskResult
    from optiprov.deploy.workflow import Play, Stage


class StageRun:
    """One execution of one stage.

    In the launch stage a failed task ends the stage at once: what else the application runs is
    stopped, for a master waits for ever for a worker that crashed. In the others the remaining hosts
    finish the play, as in Ansible.

    Args:
        stage: Which stage.
        workbench: What tasks are executed with.
        optimization_config: What templates find as `optimization_config`.
        timeout_s: Seconds after which the stage fails; None for no limit.
        on_failure: Called from any thread when something has failed, and then again before the stage
            has ended, which is so only when what this ends has ended.
    """

    def __init__(
        self,
        stage: Stage,
        workbench: Workbench,
        *,
        optimization_config: Mapping[str, Any],
        timeout_s: float | None = None,
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        self.stage = stage
        self.ended = threading.Event()
        self._workbench = workbench
        self.optimization_config = optimization_config
        self._timeout_s = timeout_s
        self._on_failure = on_failure
        self._lock = threading.Lock()
        self._failure: DeploymentError | None = None
        self._is_stopped = False
        self._background: list[threading.Thread] = []

    @property
    def has_failed(self) -> bool:
        """Whether a task of the stage has failed so far."""
        return self._failure is not None

    def raise_if_failed(self) -> None:
        """Raise what made the stage fail.

        Raises:
            DeploymentError: The first task that failed.
        """
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Begin no further task, and take what ends from now on as stopped rather than failed."""
        with self._lock:
            self._is_stopped = True

    def fail(self, error: DeploymentError) -> None:
        """Note a failure, unless there is one already or the stage was stopped."""
        with self._lock:
            if self._failure is not None or self._is_stopped:
                return
            self._failure = error
        self._on_failure()

    @property
    def is_over(self) -> bool:
        """Whether what ends now ends because the stage was stopped or has failed."""
        return self._is_stopped or self._failure is not None

    def run(self) -> None:
        """Run all plays and wait for background tasks that have a time limit; failures are kept."""
        timer = None
        if self._timeout_s is not None:
            timer = threading.Timer(self._timeout_s, self._time_out)
            timer.daemon = True
            timer.start()
        try:
            for play in self._workbench.scenario.plays:
                if self.is_over:
                    break
                try:
                    self._run_play(play)
                # The boundary of the stage's thread: a full disk, say, fails the stage.
                except Exception as error:  # noqa: BLE001
                    self._fail_at(play, error)
            for thread in self._background:
                thread.join()
        finally:
            if timer is not None:
                timer.cancel()
            try:
                if self._failure is not None:
                    self._on_failure()
            finally:
                self.ended.set()

    def _run_play(self, play: Play) -> None:
        if not play.tasks[self.stage]:
            return
        hosts = self._workbench.variables.of_play(play, self.optimization_config)
        results: list[list[TaskResult]] = [[] for _ in hosts]
        arguments = [
            (play, host, variables, own) for (host, variables), own in zip(hosts, results, strict=True)
        ]
        if len(hosts) == 1:
            self._run_host(*arguments[0])
        else:
            threads = [threading.Thread(target=self._run_host, args=each, daemon=True) for each in arguments]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self._workbench.record.write_play(self.stage, play, [result for own in results for result in own])

    def _run_host(self, play: Play, host: Host, variables: dict[str, Any], results: list[TaskResult]) -> None:
        """Run the tasks of a play on one host, until one fails."""
        for task in play.tasks[self.stage]:
            if self._is_stopped or (self.stage == "launch" and self.is_over):
                return
            execution = Execution(self._workbench, self.stage, task, host, variables)
            try:
                if task.is_background:
                    results.append(execution.begin())
                    self._wait_in_background(play, execution)
                else:
                    results.append(execution.run(is_over=lambda: self.is_over))
            except StoppedError:
                return
            except TaskFailedError as error:
                results.append(error.result)
                self.fail(DeploymentError(str(error)))
                return
            # The boundary of a thread: whatever else goes wrong must fail the stage, not vanish.
            except Exception as error:  # noqa: BLE001
                where = f"{task.path}:{task.line}: task {task.name!r} on host {host.id}"
                self.fail(DeploymentError(f"{where}: {type(error).__name__}: {error}"))
                return

    def _wait_in_background(self, play: Play, execution: Execution) -> None:
        if not execution.has_process:
            return

        def wait() -> None:
            try:
                try:
                    result = execution.finish(is_over=lambda: self.is_over)
                except TaskFailedError as error:
                    result = error.result
                    self.fail(DeploymentError(str(error)))
                self._workbench.record.write_play(self.stage, play, [result])
            # As above, of a background task's thread.
            except Exception as error:  # noqa: BLE001
                self._fail_at(play, error)

        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        if execution.task.limit_s is not None:
            with self._lock:
                self._background.append(thread)

    def _fail_at(self, play: Play, error: Exception) -> None:
        where = f"{play.path}:{play.line}: this play failed in stage {self.stage}"
        self.fail(DeploymentError(f"{where}: {type(error).__name__}: {error}"))

    def _time_out(self) -> None:
        self.fail(
            DeploymentError(f"the {self.stage} stage did not end in {self._timeout_s:g} s and was stopped.")
        )
