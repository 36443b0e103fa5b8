"""A search space as a unit cube: what a Gaussian process measures distances in."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from optiprov.optimize.parameters import Choice, QUniform, RandInt, Uniform

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from optiprov.optimize.parameters import Parameter, Scalar
    from optiprov.optimize.space import SearchSpace


class Axis:
    """One parameter on an axis of the cube.

    Numbers lie between 0 and 1, at their place between the bounds, by their logarithm where the parameter
    is logarithmic. Categories are 0, 1, 2 ..., of which only being the same counts.

    Args:
        parameter: The parameter.

    Attributes:
        is_category: Whether its values have no order.
        places: Where its values lie, ascending; None for a continuum.
    """

    def __init__(self, parameter: Parameter) -> None:
        self._parameter = parameter
        self.is_category = isinstance(parameter, Choice)
        self.places: NDArray[np.float64] | None = None
        self._values: list[Scalar] = []
        if parameter.cardinality is not None:
            self._values = parameter.values_there_are() if parameter.cardinality <= _LISTED else []
            if self._values:
                self.places = np.array([self.place(value) for value in self._values])

    def place(self, value: Any) -> float:
        """Where a value lies."""
        parameter = self._parameter
        if isinstance(parameter, Choice):
            return float(parameter.encode(value))
        low, high = _bounds(parameter)
        if low == high:
            return 0.0
        if parameter.is_log:
            return math.log(value / low) / math.log(high / low)
        return float((value - low) / (high - low))

    def value(self, place: float) -> Scalar:
        """The value that lies nearest."""
        if self.places is not None:
            return self._values[int(np.argmin(np.abs(self.places - place)))]
        low, high = _bounds(self._parameter)
        share = min(max(place, 0.0), 1.0)
        is_log = self._parameter.is_log
        number = low * (high / low) ** share if is_log else low + share * (high - low)
        if isinstance(self._parameter, QUniform):
            return self._parameter.decode(self._parameter.encode(number))
        return self._parameter.decode(number)

    def from_uniform(self, shares: NDArray[np.float64]) -> NDArray[np.float64]:
        """Places of values from numbers that are uniform in [0, 1), every value as likely."""
        if self.places is None:
            return shares
        places: NDArray[np.float64] = self.places[(shares * len(self.places)).astype(int)]
        return places

    def snap(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """The nearest places at which there are values."""
        if self.places is None:
            return np.clip(places, 0.0, 1.0)
        if len(self.places) == 1:
            return np.full_like(places, self.places[0])
        right = np.clip(np.searchsorted(self.places, places), 1, len(self.places) - 1)
        left = self.places[right - 1]
        upper = self.places[right]
        return np.where(places - left <= upper - places, left, upper)


class UnitSpace:
    """A search space as a unit cube with `len(axes)` dimensions.

    Args:
        space: The search space.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self.axes = [Axis(parameter) for parameter in space]
        self.is_category = np.array([axis.is_category for axis in self.axes])
        self.is_continuous = np.array([axis.places is None for axis in self.axes])

    def points(self, configs: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
        """Where configurations lie: an array (configurations, dimensions)."""
        rows = [
            [axis.place(config[p.name]) for axis, p in zip(self.axes, self._space, strict=True)]
            for config in configs
        ]
        return np.array(rows, dtype=float).reshape(len(configs), len(self.axes))

    def config(self, point: NDArray[np.float64]) -> dict[str, Any]:
        """The configuration at a point, constants included."""
        values = {
            p.name: axis.value(float(at)) for axis, p, at in zip(self.axes, self._space, point, strict=True)
        }
        return values | dict(self._space.constants)

    def from_uniform(self, shares: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points at which there are configurations, from an array that is uniform in [0, 1)."""
        columns = [axis.from_uniform(column) for axis, column in zip(self.axes, shares.T, strict=True)]
        return np.stack(columns, axis=1)

    def snap(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """The nearest points at which there are configurations."""
        columns = [axis.snap(column) for axis, column in zip(self.axes, points.T, strict=True)]
        return np.stack(columns, axis=1)


_LISTED = 1_000
"""Integers and multiples beyond so many are taken for a continuum, and rounded at the end."""


def _bounds(parameter: Parameter) -> tuple[float, float]:
    assert isinstance(parameter, Uniform | QUniform | RandInt)  # noqa: S101  all that have an order
    return float(parameter.low), float(parameter.high)
