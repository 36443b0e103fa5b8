"""What proposes configurations: the part of a searcher that knows a model, and nothing of Ray."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optiprov.optimize.searchers.observations import Ledger
    from optiprov.optimize.space import SearchSpace

Key: TypeAlias = "tuple[Any, ...]"
Target: TypeAlias = "tuple[dict[str, Any], float]"

MAX_ENUMERATED = 20_000


@dataclass(frozen=True)
class Proposal:
    """What a model proposes.

    Attributes:
        config: The configuration, plain Python values, constants included.
        mean: What the model expects there, to be minimized; None of a model that does not say.
        std: The standard deviation that goes with it.
        is_unseen_sample: Whether the model's choice was known already, and this is the best of others.
    """

    config: dict[str, Any]
    mean: float | None = None
    std: float | None = None
    is_unseen_sample: bool = False


class Proposer(ABC):
    """Proposes configurations of a space; used by one thread.

    Args:
        space: The search space.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space = space

    @abstractmethod
    def design(self, size: int, seed: int) -> list[dict[str, Any]]:
        """An initial design of so many configurations."""

    @abstractmethod
    def next(self, ledger: Ledger, known: set[Key], seed: int) -> Proposal | None:
        """Propose the next configuration.

        Args:
            ledger: The outcomes so far, and what is in flight.
            known: The keys of configurations that are proposed only if the space has no other left.
            seed: Of all randomness of this proposal.

        Returns:
            None where the outcomes are nothing to go by.
        """

    def state(self) -> Any:
        """What the next proposal depends on beside its arguments, as JSON-able values."""
        return None

    def restore(self, state: Any) -> None:
        """Take over what `state` gave."""
        del state

    def key(self, config: Mapping[str, Any]) -> Key:
        """What tells two configurations apart: real coordinates to ten digits, the others exactly."""
        return tuple(
            f"{parameter.encode(config[parameter.name]):.10g}"
            if parameter.cardinality is None
            else config[parameter.name]
            for parameter in self.space
        )

    def unseen(self, known: set[Key], seed: int, count: int) -> list[dict[str, Any]]:
        """Up to `count` random configurations that are not known; none if the space has none left.

        A large discrete space that is almost exhausted is not searched to the last one.
        """
        rng = np.random.default_rng(seed)
        size = self.space.cardinality
        if size is not None and size <= MAX_ENUMERATED:
            grid = itertools.product(*(parameter.values_there_are() for parameter in self.space))
            every = [dict(zip(self.space.names, values, strict=True)) for values in grid]
            left = [config for config in every if self.key(config) not in known]
            return [left[index] for index in rng.permutation(len(left))[:count]]
        found: dict[Key, dict[str, Any]] = {}
        for _ in range(4 * count):
            config = self.space.sample(rng)
            key = self.key(config)
            if key not in known:
                found.setdefault(key, config)
            if len(found) == count:
                break
        return list(found.values())


class ModelProposer(Proposer):
    """Proposes by a model that is fitted anew to all outcomes, each as one number."""

    def next(self, ledger: Ledger, known: set[Key], seed: int) -> Proposal | None:
        """Propose from what the ledger has for a model that minimizes."""
        targets = ledger.targets()
        return self.propose(targets, known, seed, ledger.lies()) if targets else None

    @abstractmethod
    def propose(
        self, targets: Sequence[Target], known: set[Key], seed: int, pending: Sequence[Target] = ()
    ) -> Proposal:
        """Fit to targets and propose the next configuration.

        Args:
            targets: Configurations and the value there, to be minimized; not empty.
            known: As of `next`.
            seed: As of `next`.
            pending: Configurations in flight, and what may be believed of the value there.
        """
