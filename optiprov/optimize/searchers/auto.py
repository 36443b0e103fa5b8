"""The searcher that a study has by default."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optiprov.errors import InputError
from optiprov.optimize.searchers.bayesian import Bayesian
from optiprov.optimize.searchers.ledger_search import LedgerSearch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optiprov.optimize.searchers.proposer import Proposer
    from optiprov.optimize.space import SearchSpace


class AutoSearch(LedgerSearch):
    """Finds good configurations in few trials, whatever the parameters are, and whether values are noisy.

    Sobol's points come first, then what a Gaussian process expects to improve most: integers and categories
    are what they are, noise is estimated, trials in flight count as what is expected of them. Everything
    else is as of `LedgerSearch`.

    Args:
        space: As of `LedgerSearch`.
        n_initial_points: Size of the initial design; by default two more than three for each parameter.
        options: The others of `LedgerSearch`.
    """

    def __init__(
        self,
        space: SearchSpace | Mapping[str, Any] | None = None,
        *,
        n_initial_points: int | None = None,
        **options: Any,
    ) -> None:
        if n_initial_points is not None and n_initial_points < 1:
            raise InputError(f"n_initial_points needs to be at least 1, got {n_initial_points}. Raise it.")
        self._n_initial_points = n_initial_points
        super().__init__(space, **options)

    def _make_proposer(self, space: SearchSpace) -> Proposer:
        return Bayesian(space)

    def _design_size(self, space: SearchSpace) -> int:
        return self._n_initial_points or 3 * len(space) + 2

    def recommend(self) -> dict[str, Any] | None:
        """The configuration of which the model expects most, among those evaluated to their end.

        Under noise that is another one than that with the best value, which was lucky.

        Returns:
            It, without constants; None before any trial has ended.
        """
        sign = -1.0 if self._mode == "max" else 1.0
        ended = [seen for seen in self.observations if seen.kind == "final"]
        if not ended or not isinstance(self._proposer, Bayesian):
            return None
        expected = self._proposer.expected([(seen.config, sign * seen.value) for seen in ended])
        return dict(ended[expected.index(min(expected))].config)
