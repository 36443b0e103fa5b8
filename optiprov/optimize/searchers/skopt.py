"""Bayesian optimization with scikit-optimize as a Ray Tune searcher.

Ray dropped its own `SkOptSearch` in 2.11. This one keeps its name and its use, without its faults: trials
in flight are known to the model, failed and NaN trials are told, and values are plain Python.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optiprov.optimize.searchers.ledger_search import LedgerSearch
from optiprov.optimize.searchers.observations import FINAL_KEY
from optiprov.optimize.searchers.skopt_optimizer import evaluated_points, settings_of, space_of
from optiprov.optimize.searchers.surrogate import Settings, Surrogate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from skopt import Optimizer

    from optiprov.optimize.space import SearchSpace


class SkOptSearch(LedgerSearch):
    """Searches with a surrogate model: a Gaussian process, extremely randomized trees or a random forest.

    Everything else is as of `LedgerSearch`.

    Args:
        space: The search space, or a Tune configuration; None takes Tune's (`param_space`).
        metric: The objective's key in the results; None takes Tune's.
        mode: "min" or "max"; None takes Tune's.
        base_estimator: "GP", "ET", "RF", "DUMMY" (random) or a scikit-learn regressor that predicts with
            `return_std`.
        n_initial_points: Size of the initial design.
        initial_point_generator: "lhs", "sobol", "halton", "hammersly", "grid" or "random".
        acq_func: "gp_hedge", "EI", "LCB" or "PI".
        optimizer: A `skopt.Optimizer` to take the five settings above, the points it was told and, if its
            dimensions have names and there is no `space`, the search space from.
        points_to_evaluate: Configurations to try first.
        seed: The same seed and the same order of results give the same sequence; None draws one (see
            `.seed`).
        final_key: The key that marks the last result of a trial that ran to its end. As long as no result
            ever had it, every completed trial counts as final; None: always.

    Attributes:
        seed: The seed in use.

    Raises:
        InputError: A setting that does not exist.
        SearchSpaceError: A space that is not understood, or a point outside it.
    """

    def __init__(
        self,
        space: SearchSpace | Mapping[str, Any] | None = None,
        *,
        metric: str | None = None,
        mode: str | None = None,
        base_estimator: Any = "GP",
        n_initial_points: int = 10,
        initial_point_generator: Any = "lhs",
        acq_func: str = "gp_hedge",
        optimizer: Optimizer | None = None,
        points_to_evaluate: Sequence[Mapping[str, Any]] | None = None,
        seed: int | None = None,
        final_key: str | None = FINAL_KEY,
    ) -> None:
        self._settings = Settings(base_estimator, n_initial_points, initial_point_generator, acq_func)
        self._told: list[tuple[list[Any], float]] = []
        if optimizer is not None:
            self._settings = settings_of(optimizer)
            self._told = evaluated_points(optimizer)
            seed = optimizer.specs["args"].get("random_state") if seed is None else seed
            space = space_of(optimizer) if space is None else space
        super().__init__(
            space,
            metric=metric,
            mode=mode,
            points_to_evaluate=points_to_evaluate,
            seed=seed,
            final_key=final_key,
        )

    def _make_proposer(self, space: SearchSpace) -> Surrogate:
        return Surrogate(space, self._settings)

    def _design_size(self, space: SearchSpace) -> int:
        del space
        return self._settings.n_initial_points

    def _set_space(self, space: SearchSpace) -> None:
        super()._set_space(space)
        for values, y in self._told:
            config = dict(zip(self._names or (), values, strict=True))
            self.add_evaluated_point(config, -y if self._mode == "max" else y)
        self._told = []
