"""The schedulers by name, and which of them cannot work in a study."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    HyperBandScheduler,
    MedianStoppingRule,
)
from ray.tune.schedulers.pbt import PopulationBasedTraining

from optiprov.errors import InputError
from optiprov.optimize.searchers.registry import nearest

if TYPE_CHECKING:
    from collections.abc import Callable

    from ray.tune.schedulers import TrialScheduler

STEPS = "training_iteration"

SCHEDULERS: dict[str, Callable[[], TrialScheduler]] = {
    "fifo": FIFOScheduler,
    # None of these ends a trial for having come far: that is for the application to say.
    "asha": lambda: AsyncHyperBandScheduler(time_attr=STEPS, stop_last_trials=False),
    "median": lambda: MedianStoppingRule(time_attr=STEPS, grace_period=1),
    "hyperband": lambda: HyperBandScheduler(time_attr=STEPS, stop_last_trials=False),
}


def make_scheduler(name: str) -> TrialScheduler:
    """Make the scheduler of a name; its time is the number of reports of a trial.

    Raises:
        InputError: There is no such scheduler.
    """
    if name not in SCHEDULERS:
        raise InputError(f"there is no scheduler {name!r}. {nearest(name, SCHEDULERS)}")
    return SCHEDULERS[name]()


def pauses_trials(scheduler: Any) -> bool:
    """Whether a scheduler pauses trials, to go on with some of them later."""
    if isinstance(scheduler, MedianStoppingRule):
        return not scheduler._hard_stop  # noqa: SLF001 - Ray has no other way to ask
    return isinstance(scheduler, HyperBandScheduler | PopulationBasedTraining)


def check_scheduler(scheduler: Any, *, resumes: bool, limit: int | None, num_samples: int) -> None:
    """Refuse a scheduler that cannot do its work in a study.

    Args:
        scheduler: A scheduler of Ray's.
        resumes: Whether the application can go on where it was paused.
        limit: How many trials, the paused ones among them, the searcher lets live at a time; None: any.
        num_samples: How many trials the study has.

    Raises:
        InputError: It cannot; the message says why, and what to do.
    """
    name = type(scheduler).__name__
    if isinstance(scheduler, PopulationBasedTraining):
        raise InputError(
            f"{name} changes the configuration of a trial as it runs, which a deployed application cannot "
            "follow. Use asha, hyperband or median."
        )
    if not pauses_trials(scheduler):
        return
    if not resumes:
        raise InputError(
            f"{name} pauses trials and goes on with some of them later; the application of this "
            "Optimization does not say that it can. Have it keep its state in the directory "
            "OPTIPROV_CHECKPOINT_DIR and set `resumes = True` in the class, or use asha, which pauses none."
        )
    if isinstance(scheduler, HyperBandScheduler):
        needed = largest_bracket(scheduler, num_samples)
        if limit is not None and limit < needed:
            raise InputError(
                f"{name} under ConcurrencyLimiter(max_concurrent={limit}) stops nothing: it compares up to "
                f"{needed} trials with one another, of which all but {limit} never begin, since paused "
                "trials count as well. Give tune() the searcher without the limiter, and "
                f"max_concurrent={limit}, which limits the trials that run."
            )


def largest_bracket(scheduler: HyperBandScheduler, num_samples: int) -> int:
    """How many trials HyperBand compares with one another at most, in a study of so many.

    It fills brackets from the smallest to the largest, then begins again; BOHB's, from the largest on.
    """
    eta, count = scheduler._eta, scheduler._s_max_1  # noqa: SLF001
    sizes = [math.ceil(count / (s + 1) * eta**s) for s in range(count)]
    if type(scheduler) is not HyperBandScheduler:
        sizes.reverse()
    largest, left = 0, num_samples
    for size in sizes:
        largest = max(largest, min(size, left))
        left -= min(size, left)
    return largest
