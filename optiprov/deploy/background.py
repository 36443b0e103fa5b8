"""The background tasks of a stage: each is waited for, and its end is noticed and recorded."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from optiprov.deploy.results import failure_message
from optiprov.errors import DeploymentError

if TYPE_CHECKING:
    from collections.abc import Callable

    from optiprov.deploy.attempts import Attempt
    from optiprov.deploy.results import TaskResult
    from optiprov.deploy.stages import StageRun
    from optiprov.deploy.workbench import Workbench
    from optiprov.deploy.workflow import Play

logger = logging.getLogger(__name__)

ENDED_AT_ITS_LIMIT = "ended at its limit"


class Background:
    """What a stage started and does not wait for before it goes on. Safe to use from several threads.

    Args:
        run: The stage.
        workbench: Where the ends are recorded.
    """

    def __init__(self, run: StageRun, workbench: Workbench) -> None:
        self._run = run
        self._workbench = workbench
        self._lock = threading.Lock()
        self._finite: list[threading.Thread] = []

    def follow(self, attempt: Attempt, play: Play) -> None:
        """Wait for a process in a thread of its own."""
        self.watch(
            play,
            lambda: attempt.finish(is_over=lambda: self._run.is_over).result,
            is_finite=attempt.limit_s is not None,
        )

    def watch(self, play: Play, end: Callable[[], TaskResult], *, is_finite: bool) -> None:
        """Call what waits for an end in a thread of its own, and record the result.

        Args:
            play: Whose task it is.
            end: Waits for the end, and gives its result.
            is_finite: Whether the stage lasts until then.
        """
        thread = threading.Thread(target=self._wait_for, args=(play, end), name="background", daemon=True)
        with self._lock:
            if is_finite:
                self._finite.append(thread)
        thread.start()

    def wait(self) -> None:
        """Wait for those that have a time limit."""
        for thread in self._finite:
            thread.join()

    def _wait_for(self, play: Play, end: Callable[[], TaskResult]) -> None:
        try:
            result = end()
            self._workbench.log(result)
            if result.outcome == ENDED_AT_ITS_LIMIT:
                logger.warning(
                    "%s: task %r on host %s was ended at its limit (async).",
                    *(result.where, result.task.name, result.host),
                )
            if result.outcome == "failed":
                self._run.fail(DeploymentError(failure_message(result)))
            self._workbench.record.write_play(self._run.stage, play, [result])
        # The boundary of a thread: a full disk, say, fails the stage.
        except Exception as error:  # noqa: BLE001  the boundary of a thread
            self._run.fail_at(play, error)
