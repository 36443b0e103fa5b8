"""One launch of an application: its stage in a thread, and when it has ended."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from optiprov.deploy.modules import CommandModule

if TYPE_CHECKING:
    from collections.abc import Iterable

    from optiprov.deploy.processes import ProcessTable
    from optiprov.deploy.stages import StageRun
    from optiprov.deploy.workflow import Play

POLL_S = 0.1


class Launch:
    """One execution of the stage launch, in a thread of its own. Safe to ask from any thread.

    Args:
        run: The execution of the stage.
        processes: The processes of the deployment.
        has_finite_tasks: Whether the stage has tasks that end by themselves (`runs_finite_tasks`).
        duration_s: If above 0, how long the application is to run.
    """

    def __init__(
        self, run: StageRun, processes: ProcessTable, *, has_finite_tasks: bool, duration_s: float
    ) -> None:
        self.run = run
        self._processes = processes
        self._has_finite_tasks = has_finite_tasks
        self._duration_s = duration_s
        self._deadline = time.monotonic() + duration_s
        self._thread = threading.Thread(target=run.run, name="launch", daemon=True)

    def begin(self) -> None:
        """Start the thread."""
        self._deadline = time.monotonic() + self._duration_s
        self._thread.start()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread to end."""
        self._thread.join(timeout_s)

    def goes_on(self) -> bool:
        """Whether `wait` would wait: for the duration if there is one, else for the stage."""
        if self._duration_s <= 0:
            return not self.run.ended.is_set()
        if time.monotonic() >= self._deadline:
            return False
        return not self.run.ended.is_set() or self._processes.running("launch")

    def has_ended(self) -> bool:
        """Whether the application has ended, as `Deployment.has_ended` defines it."""
        if self.goes_on():
            return False
        return self._duration_s > 0 or self._has_finite_tasks or not self._processes.running("launch")

    def wait(self, timeout_s: float | None) -> bool:
        """Wait as long as it goes on; return whether it no longer does."""
        if self._duration_s <= 0:
            return self.run.ended.wait(timeout_s)
        deadline = self._deadline if timeout_s is None else min(self._deadline, time.monotonic() + timeout_s)
        while (left_s := deadline - time.monotonic()) > 0 and self.goes_on():
            if not self.run.ended.is_set():
                self.run.ended.wait(left_s)
            elif self._processes.wait_for_all("launch", left_s) and self.goes_on():
                time.sleep(
                    min(left_s, POLL_S)
                )  # processes that left their parents: nothing tells of their end
        return not self.goes_on()


def runs_finite_tasks(plays: Iterable[Play]) -> bool:
    """Whether the stage launch has a process that is waited for: in the foreground, or with a limit.

    Tasks that only move files do not count: they prepare for the application, they are not it.
    """
    tasks = [task for play in plays for task in play.tasks["launch"]]
    return any(
        (task.needs_ansible is not None or isinstance(task.module, CommandModule))
        and not (task.is_background and task.limit_s is None)
        for task in tasks
    )
