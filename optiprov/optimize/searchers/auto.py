"""The searcher that a study has by default."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optiprov.errors import InputError
from optiprov.optimize.searchers.bayesian import MAX_VALUES, Bayesian
from optiprov.optimize.searchers.ledger_search import LedgerSearch
from optiprov.optimize.searchers.optuna import is_there
from optiprov.optimize.searchers.optuna_study import OptunaStudy
from optiprov.optimize.searchers.proposer import Proposer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optiprov.optimize.searchers.observations import Ledger
    from optiprov.optimize.searchers.proposer import Key, Proposal
    from optiprov.optimize.space import SearchSpace

LARGE_BUDGET = 500
"""From more trials than this on, a study is searched by Parzen estimators from the initial design on."""


class AutoSearch(LedgerSearch):
    """Finds good configurations in few trials, whatever the parameters are, and whether values are noisy.

    Sobol's points come first, then what a Gaussian process expects to improve most: integers and categories
    are what they are, noise is estimated, trials in flight count as what is expected of them. Where there
    are more than 250 outcomes, or more than 500 to come, Optuna's TPE takes over, which takes less time;
    without Optuna, the process is fitted to the best and the latest of them. Everything else is as of
    `LedgerSearch`.

    Args:
        space: As of `LedgerSearch`.
        n_initial_points: Size of the initial design; by default two more than three for each parameter.
        num_samples: How many trials the study is to have, where that is known.
        options: The others of `LedgerSearch`.
    """

    takes_num_samples = True

    def __init__(
        self,
        space: SearchSpace | Mapping[str, Any] | None = None,
        *,
        n_initial_points: int | None = None,
        num_samples: int | None = None,
        **options: Any,
    ) -> None:
        if n_initial_points is not None and n_initial_points < 1:
            raise InputError(f"n_initial_points needs to be at least 1, got {n_initial_points}. Raise it.")
        self._n_initial_points = n_initial_points
        self._num_samples = num_samples
        super().__init__(space, **options)

    def _make_proposer(self, space: SearchSpace) -> Proposer:
        return _Auto(space, is_large=(self._num_samples or 0) > LARGE_BUDGET)

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
        if not ended or not isinstance(self._proposer, _Auto):
            return None
        expected = self._proposer.process.expected([(seen.config, sign * seen.value) for seen in ended])
        return dict(ended[expected.index(min(expected))].config)


class _Auto(Proposer):
    """Proposes by a Gaussian process, and where there is too much for that by TPE.

    Args:
        space: The search space.
        is_large: Whether it is known from the beginning that there will be too much.

    Attributes:
        process: The Gaussian process.
    """

    def __init__(self, space: SearchSpace, *, is_large: bool) -> None:
        super().__init__(space)
        self.process = Bayesian(space)
        self._is_large = is_large
        self._estimators: OptunaStudy | None = None

    def design(self, size: int, seed: int) -> list[dict[str, Any]]:
        """That of the process."""
        return self.process.design(size, seed)

    def next(self, ledger: Ledger, known: set[Key], seed: int) -> Proposal | None:
        """What one of the two proposes."""
        if (self._is_large or len(ledger) > MAX_VALUES) and is_there("tpe"):
            if self._estimators is None:
                self._estimators = OptunaStudy(self.space, "tpe")
            return self._estimators.next(ledger, known, seed)
        return self.process.next(ledger, known, seed)

    def state(self) -> dict[str, Any]:
        """That of both."""
        estimators = None if self._estimators is None else self._estimators.state()
        return {"process": self.process.state(), "estimators": estimators}

    def restore(self, state: dict[str, Any] | None) -> None:
        """Take over that of both."""
        given = state or {}
        self.process.restore(given.get("process"))
        self._estimators = None
        if given.get("estimators") is not None:
            self._estimators = OptunaStudy(self.space, "tpe")
            self._estimators.restore(given["estimators"])
