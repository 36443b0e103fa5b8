"""The searchers by name."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Any

from optiprov.errors import InputError

if TYPE_CHECKING:
    from optiprov.optimize.space import SearchSpace

DEFAULT = "auto"

SEARCHERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    # name: (module, class, arguments); a class that has a use for `num_samples` takes it.
    "auto": ("auto", "AutoSearch", {}),
    "random": ("sampled", "DesignSearch", {"kind": "random"}),
    "grid": ("sampled", "DesignSearch", {"kind": "grid"}),
    "lhs": ("sampled", "DesignSearch", {"kind": "lhs"}),
    "sobol": ("sampled", "DesignSearch", {"kind": "sobol"}),
    "halton": ("sampled", "DesignSearch", {"kind": "halton"}),
    "skopt-gp": ("skopt", "SkOptSearch", {"base_estimator": "GP"}),
    "skopt-et": ("skopt", "SkOptSearch", {"base_estimator": "ET"}),
    "skopt-rf": ("skopt", "SkOptSearch", {"base_estimator": "RF"}),
    "optuna-tpe": ("optuna", "OptunaSearch", {"sampler": "tpe"}),
    "optuna-cmaes": ("optuna", "OptunaSearch", {"sampler": "cmaes"}),
    "optuna-nsga2": ("optuna", "OptunaSearch", {"sampler": "nsga2"}),
    "optuna-gp": ("optuna", "OptunaSearch", {"sampler": "gp"}),
    "hyperopt": ("ray_searchers", "HyperOptSearch", {}),
    "bohb": ("ray_searchers", "BohbSearch", {}),
}


def make_searcher(
    name: str, space: SearchSpace, *, metric: str, mode: str, num_samples: int, seed: int | None = None
) -> Any:
    """Make the searcher of a name.

    Args:
        name: A key of `SEARCHERS`.
        space: What is searched.
        metric: The objective's key in the results.
        mode: "min" or "max".
        num_samples: How many trials the study has.
        seed: The same seed gives the same sequence; None draws one.

    Raises:
        InputError: There is no such searcher, or it cannot search the space.
        MissingExtraError: What it needs is not installed.
    """
    if name not in SEARCHERS:
        raise InputError(f"there is no search {name!r}. {nearest(name, SEARCHERS)}")
    module, class_name, arguments = SEARCHERS[name]
    cls = getattr(import_module(f"optiprov.optimize.searchers.{module}"), class_name)
    given = {**arguments, "metric": metric, "mode": mode, "seed": seed}
    if cls.takes_num_samples:
        given["num_samples"] = num_samples
    return cls(space, **given)


def nearest(word: str, known: Any) -> str:
    """Say which name was likely meant, else which there are.

    Example:
        >>> nearest("otpuna-tpe", SEARCHERS)
        "Did you mean 'optuna-tpe'?"
        >>> nearest("best", ["fifo", "asha"])
        'There are fifo, asha.'
    """
    near = get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(known)}."
