"""The searcher that a study has by default."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optiprov.optimize.searchers.bayesian import Bayesian
from optiprov.optimize.searchers.ledger_search import LedgerSearch

if TYPE_CHECKING:
    from optiprov.optimize.searchers.proposer import Proposer
    from optiprov.optimize.space import SearchSpace


class AutoSearch(LedgerSearch):
    """Finds good configurations in few trials, whatever the parameters are, and whether values are noisy.

    Sobol's points come first, then what a Gaussian process expects to improve most (`Bayesian`): integers
    and categories are what they are, noise is estimated, trials in flight count as what was expected of
    them. Everything else is as of `LedgerSearch`.
    """

    def _make_proposer(self, space: SearchSpace) -> Proposer:
        return Bayesian(space)

    def _design_size(self, space: SearchSpace) -> int:
        return 3 * len(space) + 2

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
