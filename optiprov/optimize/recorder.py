"""Writes a study and its trials to the store as they happen, and shows them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ray.tune import Callback

from optiprov.optimize.plan import INTERRUPTED
from optiprov.optimize.record import Outcome, read_outcome, write_outcome
from optiprov.optimize.searchers.observations import FINAL_KEY
from optiprov.optimize.trial import METRICS
from optiprov.records import Status, TrialBegin, TrialClose, TrialEnd, TrialReport, now_us

if TYPE_CHECKING:
    from pathlib import Path

    from ray.tune.experiment import Trial as TuneTrial

    from optiprov.capture import Client
    from optiprov.optimize.progress import Progress
    from optiprov.optimize.progress import Status as Ending


class Recorder(Callback):  # type: ignore[misc]
    """Ray Tune's callback in the driver: each event becomes a record, through the same spool as any other.

    Args:
        client: the driver's capture client.
        study: the study's name.
        metric: the objective.
        directory: holds a directory for each trial, where its outcome.json is.
        progress: shows the same events.
    """

    def __init__(self, client: Client, study: str, metric: str, directory: Path, progress: Progress) -> None:
        self._client = client
        self._study = study
        self._metric = metric
        self._directory = directory
        self._progress = progress
        self._open: dict[str, str] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray pickles callbacks into its checkpoints, the record of a study is the store."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """Record that a trial begins; one that goes on after a pause began before."""
        if trial.trial_id in self._open:
            return
        number = str(trial)
        self._open[trial.trial_id] = number
        config = {name: value for name, value in trial.config.items() if not name.startswith("__")}
        self._client.emit(TrialBegin(self._study, self._id(number), now_us(), config))
        self._progress.trial_started(number, config)

    def on_trial_result(
        self,
        iteration: int,
        trials: list[TuneTrial],
        trial: TuneTrial,
        result: dict[str, Any],
        **info: Any,
    ) -> None:
        """Record a value on the way."""
        value = _value(result, self._metric)
        if value is None or result.get(FINAL_KEY):
            return
        step = int(result["training_iteration"])
        number = str(trial)
        self._client.emit(TrialReport(self._study, self._id(number), now_us(), step, value))
        self._progress.trial_reported(number, step, value)

    def on_trial_complete(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any
    ) -> None:
        """Record that a trial ends: with its result, stopped early by the scheduler, or cut off."""
        result = trial.last_result or {}
        value = _value(result, self._metric)
        if result.get(FINAL_KEY):
            self._end(trial, "finished", value, None, result.get(METRICS) or {})
        elif value is None:
            self._end(trial, "stopped", None, INTERRUPTED, {})
        else:
            self._end(trial, "stopped", value, None, {self._metric: value})

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """Record that a trial has failed, with the reason that it gave; if it died, say so in its place."""
        number = str(trial)
        outcome = read_outcome(self._directory / number)
        if outcome is None or outcome.reason is None:
            reason = "the trial's own process died (out of memory, or killed)"
            outcome = Outcome("failed", reason)
            write_outcome(self._directory / number, outcome)
            self._client.emit(TrialClose(self._id(number), now_us(), Status.FAILED, reason))
        self._end(trial, "failed", None, outcome.reason, outcome.metrics)

    def close(self, reason: str) -> None:
        """Record the trials that the end of the search cut off."""
        for trial_id, number in list(self._open.items()):
            del self._open[trial_id]
            self._client.emit(TrialClose(self._id(number), now_us(), Status.STOPPED, reason))
            self._client.emit(
                TrialEnd(self._study, self._id(number), now_us(), Status.STOPPED, None, {}, reason)
            )
            self._progress.trial_ended(number, "stopped", None, reason)

    def _end(
        self,
        trial: TuneTrial,
        status: Ending,
        value: float | None,
        reason: str | None,
        metrics: dict[str, float],
    ) -> None:
        number = self._open.pop(trial.trial_id, None) or str(trial)
        self._client.emit(TrialEnd(self._study, self._id(number), now_us(), status, value, metrics, reason))
        self._progress.trial_ended(number, status, value, reason)

    def _id(self, number: str) -> str:
        return f"{self._study}-{number}"


def _value(result: dict[str, Any], metric: str) -> float | None:
    value = result.get(metric)
    is_number = isinstance(value, (int, float)) and math.isfinite(value)
    return float(value) if is_number and value is not None else None
