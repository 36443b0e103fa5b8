"""Optuna's samplers as a Ray Tune searcher: TPE, CMA-ES, NSGA-II and its Gaussian process."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from optiprov.errors import InputError, MissingExtraError
from optiprov.optimize.searchers.ledger_search import LedgerSearch
from optiprov.optimize.searchers.optuna_study import SAMPLERS, OptunaStudy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optiprov.optimize.searchers.proposer import Proposer
    from optiprov.optimize.space import SearchSpace


class OptunaSearch(LedgerSearch):
    """Searches with one of Optuna's samplers.

    Trials in flight are running trials of Optuna's, failed ones have failed there. Everything else is as of
    `LedgerSearch`.

    Args:
        space: As of `LedgerSearch`.
        sampler: "tpe" (tree-structured Parzen estimators), "cmaes" (CMA-ES, for numbers: categories are
            drawn at random), "nsga2" (NSGA-II) or "gp" (a Gaussian process).
        n_initial_points: Size of the initial design; by default 10, and 1 of those that make one of their
            own, "cmaes" and "nsga2".
        sampler_options: Keyword arguments of Optuna's sampler.
        options: The others of `LedgerSearch`.

    Raises:
        InputError: A sampler that does not exist.
        MissingExtraError: Optuna is not installed, or what the sampler needs.
    """

    def __init__(
        self,
        space: SearchSpace | Mapping[str, Any] | None = None,
        *,
        sampler: str = "tpe",
        n_initial_points: int | None = None,
        sampler_options: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        if sampler not in SAMPLERS:
            raise InputError(f"sampler cannot be {sampler!r}. Use one of {', '.join(SAMPLERS)}.")
        if n_initial_points is not None and n_initial_points < 1:
            raise InputError(f"n_initial_points needs to be at least 1, got {n_initial_points}. Raise it.")
        require(sampler)
        self._sampler = sampler
        self._sampler_options = dict(sampler_options or {})
        self._n_initial_points = n_initial_points or SAMPLERS[sampler].n_initial_points
        super().__init__(space, **options)

    def _make_proposer(self, space: SearchSpace) -> Proposer:
        return OptunaStudy(space, self._sampler, self._sampler_options)

    def _design_size(self, space: SearchSpace) -> int:
        del space
        return self._n_initial_points


def is_there(sampler: str) -> bool:
    """Whether what a sampler needs is installed."""
    return all(find_spec(module) is not None for module in SAMPLERS[sampler].modules)


def require(sampler: str) -> None:
    """Raise MissingExtraError where what a sampler needs is not installed."""
    if not is_there(sampler):
        extra = "torch" if "torch" in SAMPLERS[sampler].modules else "optuna"
        raise MissingExtraError(f"the search 'optuna-{sampler}'", extra)
