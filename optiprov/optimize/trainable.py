"""What Ray Tune runs: a trainable that stops a trial's application before it lets go of the trial."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray import cloudpickle, tune
from ray.train._internal.session import get_session
from ray.tune.result import RESULT_DUPLICATE
from ray.tune.trainable.function_trainable import FunctionTrainable

from optiprov.errors import OptiprovError, WorkError
from optiprov.optimize.ray_session import FINALIZE_TIMEOUT_S
from optiprov.optimize.record import write_outcome, write_traceback
from optiprov.optimize.trial import Pause, Trial, TrialPlace
from optiprov.records import Status

if TYPE_CHECKING:
    from optiprov.optimize.trial import Objective


class TrialTrainable(FunctionTrainable):  # type: ignore[misc]
    """Runs one trial after another, each on a fresh copy of the user's Optimization."""

    # Set on a subclass by `make_trainable`.
    _objective: bytes
    _place: TrialPlace
    _running: Trial | None = None
    _paused: Pause | None = None

    def _trainable_func(self, config: dict[str, Any]) -> None:
        number = self.trial_name
        trial = Trial(f"{self._place.study}-{number}", number, config, self._place, self._paused)
        self._running = trial
        objective: Objective = cloudpickle.loads(self._objective)
        try:
            objective.run_trial(trial, tune.report)
            trial.outcome.status = Status.FINISHED
        except SystemExit as error:
            if error.code not in (0, None):  # not Ray's and not ours: the user's own sys.exit
                trial.outcome.status = Status.FAILED
                trial.outcome.reason = f"run_objective() called sys.exit({error.code!r})"
                raise WorkError(trial.outcome.reason) from error
            trial.outcome.status = Status.FINISHED if objective.has_result else Status.STOPPED
            raise
        except BaseException as error:
            trial.outcome.status = Status.FAILED
            trial.outcome.reason = _reason(error)
            write_traceback(trial.directory)
            raise
        finally:
            self._finish(trial)
        tune.report({RESULT_DUPLICATE: True})  # how a function trainable says that it has ended

    def _finish(self, trial: Trial) -> None:
        try:
            trial.close()
        except OptiprovError as error:
            # The way out of a trial that failed or was stopped: its own reason is the one to keep.
            trial.outcome.reason = trial.outcome.reason or str(error)
        finally:
            write_outcome(trial.directory, trial.outcome)
            self._running = None

    def _cancel(self) -> None:
        trial = self._running
        if trial is not None:
            trial.cancel()

    def save_checkpoint(self, checkpoint_dir: str = "") -> Any:
        """End the trial's application for a pause, and keep what it can go on from.

        A scheduler that saves a trial pauses it: those that save running ones are refused.
        """
        result = super().save_checkpoint(checkpoint_dir)
        trial, session = self._running, get_session()
        if trial is not None and session is not None:
            trial.pause()
            session.finish(timeout=FINALIZE_TIMEOUT_S)
            result.checkpoint = tune.Checkpoint.from_directory(str(trial.paused_at()))
        return result

    def load_checkpoint(self, checkpoint_result: Any) -> None:
        """Go on from where the trial was paused."""
        self._paused = Pause.read(Path(checkpoint_result.checkpoint.path))

    def cleanup(self) -> None:
        """End the trial's application, and wait until its provenance is stored and its hosts are undone."""
        self._cancel()
        session = get_session()
        try:
            if session is not None:
                session.finish(timeout=FINALIZE_TIMEOUT_S)
        finally:
            super().cleanup()

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Make the actor ready for another trial, once the last one's application is gone."""
        self._cancel()
        self._paused = None
        return bool(super().reset_config(new_config))


def make_trainable(objective: Objective, place: TrialPlace) -> type[TrialTrainable]:
    """Return the trainable of a study."""
    pickled = cloudpickle.dumps(objective)
    return type("OptiprovTrial", (TrialTrainable,), {"_objective": pickled, "_place": place})


def _reason(error: BaseException) -> str:
    """Return an error in words; the traceback only where it is none of ours."""
    if isinstance(error, OptiprovError):
        return str(error)
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
