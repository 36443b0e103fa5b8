"""Functions whose minimum is known, over search spaces of ours."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from optiprov.optimize.space import RandInt, SearchSpace, Uniform

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True)
class Problem:
    """A function to be minimized.

    Attributes:
        name: What it is called.
        space: Where.
        function: Its value at a configuration.
        minimum: The lowest of its values.
        bar: The median regret after 60 evaluations that is asked for.
    """

    name: str
    space: SearchSpace
    function: Callable[[Mapping[str, Any]], float]
    minimum: float
    bar: float

    def regret(self, config: Mapping[str, Any]) -> float:
        """How far its value at a configuration is above the minimum."""
        return max(self.function(config) - self.minimum, 0.0)


def _branin(config: Mapping[str, Any]) -> float:
    """Branin 1972: two dimensions, three minima."""
    x, y = config["x"], config["y"]
    parabola = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return float(parabola**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10)


_HEIGHTS = np.array([1.0, 1.2, 3.0, 3.2])
_WIDTHS = np.array(
    [
        [10, 3, 17, 3.5, 1.7, 8],
        [0.05, 10, 17, 0.1, 8, 14],
        [3, 3.5, 1.7, 10, 17, 8],
        [17, 8, 0.05, 10, 0.1, 14],
    ]
)
_CENTRES = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


def _hartmann6(config: Mapping[str, Any]) -> float:
    """Hartmann 1973: six dimensions, six minima, of which the second best is 0.12 above the best."""
    point = np.array([config[f"x{index}"] for index in range(6)])
    return -float(_HEIGHTS @ np.exp(-np.sum(_WIDTHS * (point - _CENTRES) ** 2, axis=1)))


def _rosenbrock(config: Mapping[str, Any]) -> float:
    """Rosenbrock 1960 over integers: a bent valley whose values span five orders of magnitude."""
    point = np.array([config[f"x{index}"] for index in range(4)], dtype=float)
    return float(np.sum(100 * (point[1:] - point[:-1] ** 2) ** 2 + (1 - point[:-1]) ** 2))


PROBLEMS = (
    Problem(
        "Branin",
        SearchSpace((Uniform("x", -5.0, 10.0), Uniform("y", 0.0, 15.0))),
        _branin,
        minimum=0.39788735772973816,
        bar=0.0005,
    ),
    Problem(
        "Hartmann6",
        SearchSpace(tuple(Uniform(f"x{index}", 0.0, 1.0) for index in range(6))),
        _hartmann6,
        minimum=-3.322368011391339,
        bar=0.01,
    ),
    Problem(
        "integer Rosenbrock",
        SearchSpace(tuple(RandInt(f"x{index}", -5, 10) for index in range(4))),
        _rosenbrock,
        minimum=0.0,
        bar=202.0,
    ),
)
