"""Drives Ray Tune through the trials of a study."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from ray import tune

from optiprov.errors import StudyError
from optiprov.optimize.plan import INTERRUPTED
from optiprov.optimize.recorder import Recorder
from optiprov.optimize.trainable import make_trainable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from optiprov.capture import Client
    from optiprov.optimize.interrupts import Interrupts
    from optiprov.optimize.plan import StudyPlan
    from optiprov.optimize.progress import Progress
    from optiprov.optimize.trial import TrialPlace


def tune_trials(
    plan: StudyPlan,
    place: TrialPlace,
    client: Client,
    progress: Progress,
    temporary: Path,
    interrupts: Interrupts,
) -> None:
    """Run the trials of a study.

    Args:
        plan: what is searched, and how.
        place: where the trials run and report.
        client: records the trials.
        progress: shows them.
        temporary: where Ray Tune keeps its own state; the record of a study is the store.
        interrupts: tells whether there was one, after which no further trial begins.

    Raises:
        StudyError: the searcher, the scheduler or Ray failed.
    """
    recorder = Recorder(client, place.study, plan.metric, place.directory, progress)
    tuner = tune.Tuner(
        tune.with_resources(make_trainable(plan.optimization, place), {"cpu": 1}),
        param_space=plan.space.to_tune(),
        tune_config=tune.TuneConfig(
            metric=plan.metric,
            mode=plan.mode,
            search_alg=plan.search_alg,
            scheduler=plan.scheduler,
            num_samples=plan.num_samples,
            reuse_actors=True,
            trial_name_creator=_trial_names(),
        ),
        run_config=tune.RunConfig(
            name=place.study,
            stop=_Interruption(interrupts),
            storage_path=str(temporary / "tune"),
            verbose=0,
            callbacks=[recorder],
            failure_config=tune.FailureConfig(max_failures=0),
        ),
    )
    try:
        interrupts.check()
        tuner.fit()
    except Exception as error:  # whatever a searcher, a scheduler or Ray raises
        recorder.close(f"the search failed: {error}")
        raise StudyError(f"The search failed: {type(error).__name__}: {error}") from error
    finally:
        interrupts.run_has_ended()
        recorder.close(INTERRUPTED)


class _Interruption(tune.Stopper):  # type: ignore[misc]
    """Stops all trials after an interrupt that Ray Tune was not ready for."""

    def __init__(self, interrupts: Interrupts) -> None:
        self._interrupts = interrupts

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:  # noqa: ARG002 - Ray's signature
        return self.stop_all()

    def stop_all(self) -> bool:
        return self._interrupts.occurred


def _trial_names() -> Callable[[Any], str]:
    """Return what names trials 001, 002 ...: the directory of each, and the end of its id."""
    numbers = itertools.count(1)
    return lambda _trial: f"{next(numbers):03d}"
