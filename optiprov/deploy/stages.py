"""One stage of a workflow: plays in turn, tasks in turn, the hosts of a play side by side."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from optiprov.deploy.background import Background
from optiprov.deploy.execution import Execution
from optiprov.deploy.play_variables import play_hosts
from optiprov.deploy.plays import native_tasks, reason_for_ansible
from optiprov.deploy.processes import StoppedError
from optiprov.deploy.results import failure_message
from optiprov.errors import DeploymentError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from optiprov.deploy.attempts import Attempt
    from optiprov.deploy.execution import Executed
    from optiprov.deploy.play_variables import PlayHost
    from optiprov.deploy.results import TaskResult
    from optiprov.deploy.tasks import Task
    from optiprov.deploy.workbench import Workbench
    from optiprov.deploy.workflow import Play, Stage

logger = logging.getLogger(__name__)

MORE_TOLD = 10


class StageRun:
    """One execution of one stage.

    As in Ansible, a host on which a task failed does no further task of the stage, the others go on; a
    play that has lost all of its hosts is the last.

    Args:
        stage: Which stage.
        workbench: What tasks are executed with.
        optimization_config: What templates find as `optimization_config`.
        timeout_s: Seconds after which the stage fails; None for no limit.
        fails_fast: Whether the first failure ends the stage: a master waits for ever for a worker that
            crashed.
        on_failure: Called from any thread when the stage is to be ended since something has failed, and
            then again before the stage has ended, which is so only when what this ends has ended.
    """

    def __init__(
        self,
        stage: Stage,
        workbench: Workbench,
        *,
        optimization_config: Mapping[str, Any],
        timeout_s: float | None = None,
        fails_fast: bool = False,
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        self.stage = stage
        self.ended = threading.Event()
        self._workbench = workbench
        self.optimization_config = optimization_config
        self._timeout_s = timeout_s
        self._fails_fast = fails_fast
        self._on_failure = on_failure
        self._lock = threading.Lock()
        self._failures: list[DeploymentError] = []
        self._failed_hosts: set[str] = set()
        self._over = threading.Event()
        self._is_stopped = False
        self._play: Play | None = None
        self._registered: dict[str, dict[str, Any]] = {}
        self._background = Background(self, workbench)

    @property
    def has_failed(self) -> bool:
        """Whether a task of the stage has failed so far."""
        return bool(self._failures)

    @property
    def is_over(self) -> bool:
        """Whether what ends now ends because the stage was stopped or has failed."""
        return self._over.is_set()

    def raise_if_failed(self) -> None:
        """Raise what made the stage fail.

        Raises:
            DeploymentError: The first task that failed; the message names the others.
        """
        if not self._failures:
            return
        first, *more = self._failures
        if not more:
            raise first
        lines = [str(failure).splitlines()[0] for failure in more[:MORE_TOLD]]
        lines += [f"and {len(more) - MORE_TOLD} more"] if len(more) > MORE_TOLD else []
        raise DeploymentError("\n".join([str(first), "Failed as well:", *(f"  {line}" for line in lines)]))

    def stop(self) -> None:
        """Begin no further task, and take what ends from now on as stopped rather than failed."""
        with self._lock:
            self._is_stopped = True
            self._over.set()

    def pause(self, seconds: float) -> None:
        """Wait, not longer than the stage goes on."""
        self._over.wait(seconds)

    def follow(self, attempt: Attempt) -> None:
        """Take care of what was started in the background."""
        assert self._play is not None  # noqa: S101  it is executed in one
        self._background.follow(attempt, self._play)

    def watch(self, end: Callable[[], TaskResult], *, is_finite: bool) -> None:
        """Call what waits for the end of something in the background, and record its result."""
        assert self._play is not None  # noqa: S101  as above
        self._background.watch(self._play, end, is_finite=is_finite)

    def fail(self, error: DeploymentError, host: str | None = None, *, ends_stage: bool = False) -> None:
        """Note a failure, unless the stage was stopped, or is being ended because of another one.

        Args:
            error: What to tell.
            host: The host that does no further task, if there is one.
            ends_stage: Whether the stage ends, whatever it is told to do about failures.
        """
        ends_stage = ends_stage or self._fails_fast
        with self._lock:
            if self._is_stopped or self._over.is_set():
                return
            self._failures.append(error)
            if host is not None:
                self._failed_hosts.add(host)
            if ends_stage:
                self._over.set()
        if ends_stage:
            self._on_failure()
        else:
            first = str(error).splitlines()[0]
            logger.warning("%s%s The other hosts go on.", first, "" if first.endswith((".", "?")) else ".")

    def run(self) -> None:
        """Run all plays and wait for background tasks that have a time limit; failures are kept."""
        timer = None
        if self._timeout_s is not None:
            timer = threading.Timer(self._timeout_s, self._time_out)
            timer.daemon = True
            timer.start()
        try:
            for play in self._workbench.scenario.plays:
                if self.is_over or not self._run_play_safely(play):
                    break
            self._background.wait()
        finally:
            if timer is not None:
                timer.cancel()
            try:
                if self._failures and self.is_over and not self._is_stopped:
                    self._on_failure()
            finally:
                self.ended.set()

    def _run_play_safely(self, play: Play) -> bool:
        """Run a play; whether the next one may begin."""
        try:
            return self._run_play(play)
        # The boundary of the stage's thread: a full disk, say, fails the stage.
        except Exception as error:  # noqa: BLE001  the boundary of a thread
            self.fail_at(play, error)
            return False

    def _run_play(self, play: Play) -> bool:
        if not play.tasks[self.stage] and reason_for_ansible(play, self.stage) is None:
            return True
        hosts = play_hosts(play, self._workbench, self.optimization_config, self._registered)
        active = [one for one in hosts if one.host.id not in self._failed_hosts]
        if not active:
            return True  # they failed in an earlier play
        results: list[TaskResult] = []
        self._play = play
        try:
            if reason_for_ansible(play, self.stage) is not None:
                from optiprov.deploy.ansible import AnsibleRun  # few scenarios pay for its import

                AnsibleRun(self._workbench, play, active, self).run(results)
            else:
                self._run_tasks(play, active, results)
        finally:
            self._workbench.record.write_play(self.stage, play, results)
        return any(one.host.id not in self._failed_hosts for one in active)

    def _run_tasks(self, play: Play, active: Sequence[PlayHost], results: list[TaskResult]) -> None:
        for task in native_tasks(play, self.stage):
            if self.is_over:
                return
            active = [one for one in active if one.host.id not in self._failed_hosts]
            self._run_task(play, task, active[:1] if task.run_once else active, results)
            if task.run_once and active and task.register is not None:
                for one in active[1:]:
                    one.registered[task.register] = active[0].registered.get(task.register)
            if play.keywords.get("any_errors_fatal") and self._failures:
                self._failed_hosts.update(one.host.id for one in active)

    def _run_task(self, play: Play, task: Task, hosts: Sequence[PlayHost], results: list[TaskResult]) -> None:
        """Run one task on all hosts side by side, and wait for them."""
        executed: dict[str, Executed] = {}
        threads = [
            threading.Thread(target=self._execute, args=(play, task, one, executed), daemon=True)
            for one in hosts[1:]
        ]
        for thread in threads:
            thread.start()
        for one in hosts[:1]:
            self._execute(play, task, one, executed)
        for thread in threads:
            thread.join()
        for one in hosts:
            if one.host.id in executed:
                results += executed[one.host.id].results

    def _execute(self, play: Play, task: Task, one: PlayHost, executed: dict[str, Executed]) -> None:
        host = one.host
        try:
            done = Execution(self._workbench, self.stage, task, host, one.all_variables(), self).run()
            executed[host.id] = done
            if task.register is not None:
                one.registered[task.register] = done.registered
            for result in done.results:
                self._workbench.log(result)
            if done.failure is not None:
                self.fail(DeploymentError(failure_message(done.failure)), host.id)
        except StoppedError:
            return
        # The boundary of a thread: whatever else goes wrong must fail the host, not vanish.
        except Exception as error:
            where = f"{task.path}:{task.line}: task {task.name!r} on host {host.id}"
            self.fail(DeploymentError(f"{where}: {type(error).__name__}: {error}"), host.id)
            logger.debug("play %s:%s", play.path, play.line, exc_info=True)

    def fail_at(self, play: Play, error: Exception) -> None:
        """Fail for what went wrong beside the tasks of a play."""
        if isinstance(error, DeploymentError):
            self.fail(error, ends_stage=True)
            return
        where = f"{play.path}:{play.line}: this play failed in stage {self.stage}"
        self.fail(DeploymentError(f"{where}: {type(error).__name__}: {error}"), ends_stage=True)

    def _time_out(self) -> None:
        running = self._workbench.processes.waited_for(self.stage)
        shown = ", ".join(running[:MORE_TOLD]) + (
            f" and {len(running) - MORE_TOLD} more" if len(running) > MORE_TOLD else ""
        )
        error = (
            f"the {self.stage} stage did not end in {self._timeout_s:g} s and was stopped. Of a command or a "
            "trial that is the walltime of the scenario's environment. "
            f"What still ran: {shown or 'no process; the logs say what was done'}."
        )
        self.fail(DeploymentError(error), ends_stage=True)
