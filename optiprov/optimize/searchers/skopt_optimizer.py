"""Takes over a `skopt.Optimizer` that a user made: its settings, its space and what it was told.

Scripts in the E2Clab manner write `SkOptSearch(optimizer=Optimizer(base_estimator="ET",
n_initial_points=45, ...))`. Only `specs["args"]` (the constructor's arguments) has to be there, so that a
stand-in without dimensions will do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optiprov.errors import SearchSpaceError
from optiprov.optimize.parameters import Choice, LogRandInt, LogUniform, RandInt, Uniform
from optiprov.optimize.searchers.surrogate import ACQ_OPTIMIZER_KWARGS, Settings
from optiprov.optimize.space import SearchSpace

if TYPE_CHECKING:
    from optiprov.optimize.parameters import Parameter


def settings_of(optimizer: Any) -> Settings:
    """The settings of an optimizer; limits on its work that it does not set are ours."""
    args = optimizer.specs["args"]
    initial = args.get("n_random_starts")
    return Settings(
        base_estimator=args.get("base_estimator", "GP"),
        n_initial_points=args.get("n_initial_points", 10) if initial is None else initial,
        initial_point_generator=args.get("initial_point_generator", "random"),
        acq_func=args.get("acq_func", "gp_hedge"),
        acq_optimizer=args.get("acq_optimizer", "auto"),
        acq_func_kwargs=args.get("acq_func_kwargs"),
        acq_optimizer_kwargs=ACQ_OPTIMIZER_KWARGS | (args.get("acq_optimizer_kwargs") or {}),
    )


def space_of(optimizer: Any) -> SearchSpace | None:
    """The search space of an optimizer whose dimensions all have names; None otherwise."""
    dimensions = getattr(getattr(optimizer, "space", None), "dimensions", None)
    if not dimensions or not all(dimension.name for dimension in dimensions):
        return None
    return SearchSpace(tuple(_parameter(dimension) for dimension in dimensions))


def evaluated_points(optimizer: Any) -> list[tuple[list[Any], float]]:
    """What the optimizer was told, to be minimized, in plain Python values."""
    points, values = getattr(optimizer, "Xi", ()), getattr(optimizer, "yi", ())
    plain = [[x.item() if hasattr(x, "item") else x for x in point] for point in points]
    return list(zip(plain, map(float, values), strict=True))


def _parameter(dimension: Any) -> Parameter:
    from skopt.space import Categorical, Integer, Real

    name, is_log = dimension.name, dimension.prior == "log-uniform"
    if isinstance(dimension, Real):
        return (LogUniform if is_log else Uniform)(name, float(dimension.low), float(dimension.high))
    if isinstance(dimension, Integer):
        return (LogRandInt if is_log else RandInt)(name, int(dimension.low), int(dimension.high))
    if isinstance(dimension, Categorical):
        return Choice(name, tuple(x.item() if hasattr(x, "item") else x for x in dimension.categories))
    raise SearchSpaceError(f"{name!r} is a {type(dimension).__name__}. Use Real, Integer or Categorical.")
