"""Makes the searcher and the scheduler of a study from what its plan says of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ray.tune.schedulers import HyperBandForBOHB
from ray.tune.search import ConcurrencyLimiter

from optiprov.errors import InputError
from optiprov.optimize.schedulers import check_scheduler, make_scheduler, pauses_trials
from optiprov.optimize.searchers.registry import DEFAULT, make_searcher

if TYPE_CHECKING:
    from optiprov.optimize.plan import StudyPlan


def with_strategies(plan: StudyPlan) -> StudyPlan:
    """Return a plan with a searcher and a scheduler in place of their names.

    Raises:
        InputError: A name that does not exist, or a scheduler that cannot work with the rest of the plan.
        MissingExtraError: What a searcher needs is not installed.
    """
    scheduler, search = plan.scheduler, plan.search_alg
    scheduler_name = scheduler if isinstance(scheduler, str) else None
    if scheduler_name is not None:
        scheduler = make_scheduler(scheduler_name, plan.num_samples)
    search_name = DEFAULT if search is None else search if isinstance(search, str) else None
    if search_name == "bohb" and not isinstance(scheduler, HyperBandForBOHB):
        raise InputError("the search 'bohb' learns from HyperBand alone. Use the scheduler hyperband.")
    if search_name is not None:
        search = _searcher(search_name, plan, is_limited=not pauses_trials(scheduler))
    if scheduler is not None:
        check_scheduler(
            scheduler,
            search,
            resumes=plan.optimization.resumes,
            max_concurrent=plan.max_concurrent,
            num_samples=plan.num_samples,
        )
    return replace(
        plan,
        search_alg=search,
        scheduler=scheduler,
        search_name=search_name,
        scheduler_name=scheduler_name,
    )


def relimited(search: Any, max_concurrent: int) -> Any:
    """Return a searcher that lets so many trials live at a time, where it is one that limits them."""
    if isinstance(search, ConcurrencyLimiter):
        return ConcurrencyLimiter(search.searcher, max_concurrent=max_concurrent, batch=search.batch)
    return search


def _searcher(name: str, plan: StudyPlan, *, is_limited: bool) -> Any:
    """The searcher of a name.

    Without a limit Ray asks for one configuration ahead of what is known. A limit counts paused trials as
    well; where there are such, the processors of our Ray are the limit of those that run.
    """
    searcher = make_searcher(
        name,
        plan.space,
        metric=plan.metric,
        mode=plan.mode,
        num_samples=plan.num_samples,
        seed=plan.optimization.seed,
    )
    return ConcurrencyLimiter(searcher, max_concurrent=plan.max_concurrent) if is_limited else searcher
