"""The schedulers by name, and which of them cannot work in a study."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    HyperBandForBOHB,
    HyperBandScheduler,
    MedianStoppingRule,
)
from ray.tune.schedulers.pbt import PopulationBasedTraining
from ray.tune.search import BasicVariantGenerator, ConcurrencyLimiter

from optiprov.errors import InputError
from optiprov.optimize.searchers.registry import nearest

if TYPE_CHECKING:
    from collections.abc import Callable

    from ray.tune.schedulers import TrialScheduler

STEPS = "training_iteration"


def _hyperband(num_samples: int) -> TrialScheduler:
    """HyperBand whose largest bracket is filled by the first trials, of which a third goes on each time.

    Ray's own begins with its smallest bracket, whose trials are not compared with one another and, a few at
    a time, never fill it.
    """
    max_t = 3 ** max(1, math.floor(math.log(num_samples, 3) + 1e-9))
    return HyperBandForBOHB(time_attr=STEPS, max_t=max_t, reduction_factor=3, stop_last_trials=False)


SCHEDULERS: dict[str, Callable[[int], TrialScheduler]] = {
    "fifo": lambda _num_samples: FIFOScheduler(),
    # None of these ends a trial for having come far: that is for the application to say.
    "asha": lambda _num_samples: AsyncHyperBandScheduler(time_attr=STEPS, stop_last_trials=False),
    "median": lambda _num_samples: MedianStoppingRule(time_attr=STEPS, grace_period=1),
    "hyperband": _hyperband,
}


def make_scheduler(name: str, num_samples: int) -> TrialScheduler:
    """Make the scheduler of a name; its time is the number of reports of a trial.

    Args:
        name: A key of `SCHEDULERS`.
        num_samples: How many trials the study has.

    Raises:
        InputError: There is no such scheduler.
    """
    if name not in SCHEDULERS:
        raise InputError(f"there is no scheduler {name!r}. {nearest(name, SCHEDULERS)}")
    return SCHEDULERS[name](num_samples)


def pauses_trials(scheduler: Any) -> bool:
    """Whether a scheduler pauses trials, to go on with some of them later."""
    if isinstance(scheduler, MedianStoppingRule):
        return not scheduler._hard_stop  # noqa: SLF001 - Ray has no other way to ask
    return isinstance(scheduler, HyperBandScheduler | PopulationBasedTraining)


def check_scheduler(
    scheduler: Any, search: Any, *, resumes: bool, max_concurrent: int, num_samples: int
) -> None:
    """Refuse a scheduler that cannot do its work in a study.

    Args:
        scheduler: A scheduler of Ray's.
        search: The searcher, as Ray gets it.
        resumes: Whether the application can go on where it was paused.
        max_concurrent: How many trials run at a time.
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
        _check_brackets(scheduler, search, max_concurrent, num_samples)


def _check_brackets(scheduler: Any, search: Any, max_concurrent: int, num_samples: int) -> None:
    """Refuse HyperBand where its brackets are not filled, so that there is nothing to compare."""
    name = type(scheduler).__name__
    if isinstance(scheduler, HyperBandForBOHB) and not hasattr(_innermost(search), "on_pause"):
        raise InputError(
            f"{name} tells the searcher which trials it pauses, and {type(_innermost(search)).__name__} "
            "does not listen. Give tune() the name of a searcher."
        )
    needed = largest_bracket(scheduler, num_samples)
    limits_live = isinstance(search, ConcurrencyLimiter | BasicVariantGenerator)
    limit = search.max_concurrent if limits_live else 0
    if 0 < limit < needed:
        raise InputError(
            f"{name} under {type(search).__name__}(max_concurrent={limit}) stops nothing: it compares up to "
            f"{needed} trials with one another, of which all but {limit} never begin, since paused ones "
            f"count as well. Give tune() the name of a searcher, and max_concurrent={limit}, which limits "
            "the trials that run."
        )
    first = scheduler._s_max_1  # noqa: SLF001
    if limit == 0 and not isinstance(scheduler, HyperBandForBOHB) and max_concurrent + 1 < first:
        raise InputError(
            f"{name} with {max_concurrent} trials at a time stops nothing: its first bracket has {first} "
            "trials that are not paused, and is not full before they all run. Use the scheduler hyperband, "
            f"which begins with the largest bracket, or max_concurrent={first - 1}."
        )


def _innermost(search: Any) -> Any:
    return search.searcher if isinstance(search, ConcurrencyLimiter) else search


def largest_bracket(scheduler: HyperBandScheduler, num_samples: int) -> int:
    """How many trials HyperBand compares with one another at most, in a study of so many.

    It fills brackets from the smallest to the largest, then begins again; BOHB's, from the largest on.
    """
    eta, count = scheduler._eta, scheduler._s_max_1  # noqa: SLF001
    sizes = [math.ceil(count / (s + 1) * eta**s) for s in range(count)]
    if isinstance(scheduler, HyperBandForBOHB):
        sizes.reverse()
    largest, left = 0, num_samples
    for size in sizes:
        largest = max(largest, min(size, left))
        left -= min(size, left)
    return largest
