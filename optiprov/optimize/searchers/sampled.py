"""Searchers without a model: designs that fill the space, whatever comes of them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import qmc

from optiprov.errors import InputError
from optiprov.optimize.searchers.ledger_search import LedgerSearch
from optiprov.optimize.searchers.proposer import Proposal, Proposer
from optiprov.optimize.searchers.unit_space import UnitSpace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optiprov.optimize.searchers.proposer import Key, Target
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

    def propose(
        self, targets: Sequence[Target], known: set[Key], seed: int, pending: Sequence[Target] = ()
    ) -> Proposal:
        """Not called: there is no model."""
        raise NotImplementedError

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
        size: How many configurations it has: the number of trials. A grid has all there are.
        options: The others of `LedgerSearch`.

    Raises:
        InputError: A kind that does not exist, or a grid over a continuum.
    """

    _has_model = False

    def __init__(
        self,
        space: SearchSpace | Mapping[str, Any] | None = None,
        *,
        kind: str = "random",
        size: int = 1,
        **options: Any,
    ) -> None:
        if kind not in DESIGNS:
            raise InputError(f"a design cannot be {kind!r}. Use one of {', '.join(DESIGNS)}.")
        self._kind, self._size = kind, size
        super().__init__(space, **options)

    def _make_proposer(self, space: SearchSpace) -> Design:
        return Design(space, self._kind)

    def _design_size(self, space: SearchSpace) -> int:
        del space
        return self._size
