"""Searchers without a model: designs that fill the space, whatever comes of them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import qmc

from optiprov.errors import InputError
from optiprov.optimize.searchers.ledger_search import LedgerSearch
from optiprov.optimize.searchers.proposer import Proposer
from optiprov.optimize.searchers.unit_space import UnitSpace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optiprov.optimize.searchers.observations import Ledger
    from optiprov.optimize.searchers.proposer import Key
    from optiprov.optimize.space import SearchSpace

DESIGNS = ("random", "lhs", "sobol", "halton", "grid")

MAX_GRID = 100_000


class Design(Proposer):
    """A design of a kind; beyond it, configurations that were not there, at random.

    Args:
        space: The search space.
        kind: One of `DESIGNS`.
    """

    def __init__(self, space: SearchSpace, kind: str) -> None:
        super().__init__(space)
        self._kind = kind

    def design(self, size: int, seed: int) -> list[dict[str, Any]]:
        """The design; a grid has as many configurations as there are, in order, up to the size."""
        rng = np.random.default_rng(seed)
        if self._kind == "random":
            return [self.space.sample(rng) for _ in range(size)]
        if self._kind == "grid":
            return self._grid(size)
        unit = UnitSpace(self.space)
        dimensions = len(unit.axes)
        if self._kind == "lhs":
            shares = qmc.LatinHypercube(dimensions, rng=rng).random(size)
        elif self._kind == "halton":
            shares = qmc.Halton(dimensions, rng=rng).random(size)
        else:
            shares = qmc.Sobol(dimensions, rng=rng).random(2 ** max(size - 1, 0).bit_length())[:size]
        return [unit.config(point) for point in unit.from_uniform(shares)]

    def next(self, ledger: Ledger, known: set[Key], seed: int) -> None:
        """Nothing: outcomes change no design."""
        del ledger, known, seed

    def _grid(self, size: int) -> list[dict[str, Any]]:
        for parameter in self.space:
            if parameter.cardinality is None:
                raise InputError(
                    f"a grid needs a step for {parameter.name!r} ({parameter}). Give it as quniform, or use "
                    "another search, such as sobol."
                )
        grid = itertools.product(*(parameter.values_there_are() for parameter in self.space))
        constants = dict(self.space.constants)
        configs = itertools.islice(grid, min(size, MAX_GRID))
        return [dict(zip(self.space.names, values, strict=True)) | constants for values in configs]


class DesignSearch(LedgerSearch):
    """Tries a design: random, lhs (Latin hypercube), sobol, halton or grid.

    Args:
        space: As of `LedgerSearch`.
        kind: Which.
        num_samples: How many configurations it has; after a grid, which may have
            fewer, the search is finished.
        options: The others of `LedgerSearch`.

    Raises:
        InputError: A kind that does not exist, or a grid over a continuum.
    """

    takes_num_samples = True

    def __init__(
        self,
        space: SearchSpace | Mapping[str, Any] | None = None,
        *,
        kind: str = "random",
        num_samples: int = 1,
        **options: Any,
    ) -> None:
        if kind not in DESIGNS:
            raise InputError(f"a design cannot be {kind!r}. Use one of {', '.join(DESIGNS)}.")
        self._kind, self._size = kind, num_samples
        super().__init__(space, **options)

    def suggest(self, trial_id: str) -> Any:
        """Propose the configuration of a trial; `FINISHED` after the last of a grid."""
        is_asked_again = trial_id in self.suggestions
        if self._kind == "grid" and not (is_asked_again or self._given or self._design):
            return self.FINISHED
        return super().suggest(trial_id)

    def _make_proposer(self, space: SearchSpace) -> Design:
        return Design(space, self._kind)

    def _design_size(self, space: SearchSpace) -> int:
        del space
        return self._size
