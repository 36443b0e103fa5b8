"""The parameters a search space is made of: one frozen dataclass for each kind of domain.

A searcher sees a parameter through two numbers-only views. `sample` draws a value in the domain's own
distribution. `encode` and `decode` map a value to the coordinate of a scikit-optimize dimension and back:
the identity for numbers on a range, the index of the grid step for `QUniform`, the index of the value as
text for `Choice` (so that values of mixed types survive numpy).

Values are plain Python (`int`, `float`, `str`, `bool`), never numpy scalars.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

Scalar: TypeAlias = "int | float | str | bool"


@dataclass(frozen=True)
class Parameter(ABC):
    """One hyperparameter: a name, a domain, and what a reader wants to know about it.

    Attributes:
        name: The key of the parameter in a configuration.
        unit: The unit of its values, for axes and tables; None where there is none.
        description: What it does, in one sentence.
    """

    name: str
    unit: str | None = field(default=None, kw_only=True, compare=False)
    description: str | None = field(default=None, kw_only=True, compare=False)

    kind: ClassVar[str]
    is_log: ClassVar[bool] = False

    @property
    @abstractmethod
    def cardinality(self) -> int | None:
        """How many values there are; None for a continuum."""

    def values_there_are(self) -> list[Scalar]:
        """Every value of a discrete domain, in order.

        Raises:
            TypeError: It is a continuum.
        """
        raise TypeError(f"{self.name!r} is a continuum: it has no list of values")

    @abstractmethod
    def contains(self, value: object) -> bool:
        """Whether `value` is in the domain."""

    @abstractmethod
    def sample(self, rng: np.random.Generator) -> Scalar:
        """Draw a value, in the distribution that the domain stands for."""

    @abstractmethod
    def to_skopt(self) -> Any:
        """The scikit-optimize dimension of the encoded values."""

    @abstractmethod
    def _tune_arguments(self) -> tuple[Any, ...]:
        """What the function of `ray.tune` with the name of this kind takes."""

    def to_tune(self) -> Any:
        """The `ray.tune` domain."""
        from ray import tune

        return getattr(tune, self.kind)(*self._tune_arguments())

    def __str__(self) -> str:
        return f"{self.kind}{self._tune_arguments()}"

    def encode(self, value: Scalar) -> Any:
        """The coordinate of `value` in the dimension that `to_skopt` gives."""
        return value

    @abstractmethod
    def decode(self, coordinate: Any) -> Scalar:
        """The plain Python value at a coordinate of the dimension that `to_skopt` gives."""


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(frozen=True)
class Uniform(Parameter):
    """A real number in [low, high], every one as likely.

    Example:
        >>> Uniform("x", 0.0, 1.0).contains(0.5)
        True
    """

    low: float
    high: float
    kind: ClassVar[str] = "uniform"

    @property
    def cardinality(self) -> int | None:
        """A continuum."""
        return None

    def contains(self, value: object) -> bool:
        """Whether `value` is a number in [low, high]."""
        return _is_number(value) and self.low <= value <= self.high  # type: ignore[operator]

    def sample(self, rng: np.random.Generator) -> float:
        """Draw a value uniformly."""
        return self.decode(rng.uniform(self.low, self.high))

    def to_skopt(self) -> Any:
        """A `skopt.space.Real`."""
        from skopt.space import Real

        return Real(self.low, self.high, prior="log-uniform" if self.is_log else "uniform", name=self.name)

    def _tune_arguments(self) -> tuple[Any, ...]:
        return (self.low, self.high)

    def decode(self, coordinate: Any) -> float:
        """A float, held in the bounds: going through a logarithm and back may leave them by an ulp."""
        return min(max(float(coordinate), self.low), self.high)


@dataclass(frozen=True)
class LogUniform(Uniform):
    """A real number in [low, high] whose logarithm is uniform; low > 0."""

    kind: ClassVar[str] = "loguniform"
    is_log: ClassVar[bool] = True

    def sample(self, rng: np.random.Generator) -> float:
        """Draw a value whose logarithm is uniform."""
        return self.decode(math.exp(rng.uniform(math.log(self.low), math.log(self.high))))


@dataclass(frozen=True)
class QUniform(Parameter):
    """A multiple of `q` in [low, high], every one as likely; low and high are multiples of `q`.

    The values are the shortest decimals, where Ray's carry the noise of a product (0.30000000000000004).

    Example:
        >>> QUniform("x", 0.0, 1.0, 0.1).decode(3)
        0.3
    """

    low: float
    high: float
    q: float
    kind: ClassVar[str] = "quniform"

    @property
    def first(self) -> int:
        """The index of `low` on the grid of multiples of `q`."""
        return round(self.low / self.q)

    @property
    def last(self) -> int:
        """The index of `high` on the grid of multiples of `q`."""
        return round(self.high / self.q)

    @property
    def cardinality(self) -> int:
        """How many multiples of `q` there are."""
        return self.last - self.first + 1

    def values_there_are(self) -> list[Scalar]:
        """The multiples."""
        return [self.decode(index) for index in range(self.first, self.last + 1)]

    def contains(self, value: object) -> bool:
        """Whether `value` is a multiple of `q` in [low, high], but for rounding."""
        if not isinstance(value, (int, float)) or not _is_number(value):
            return False
        steps = value / self.q
        return self.first <= round(steps) <= self.last and math.isclose(steps, round(steps), abs_tol=1e-9)

    def sample(self, rng: np.random.Generator) -> float:
        """Draw one of the multiples uniformly."""
        return self.decode(rng.integers(self.first, self.last + 1))

    def to_skopt(self) -> Any:
        """A `skopt.space.Integer` over the grid's indices."""
        return _integer_dimension(self.name, self.first, self.last)

    def _tune_arguments(self) -> tuple[Any, ...]:
        return (self.low, self.high, self.q)

    def encode(self, value: Scalar) -> int:
        """The index of `value` on the grid."""
        return round(float(value) / self.q)

    def decode(self, coordinate: Any) -> float:
        """The multiple of `q` at an index."""
        return float(Decimal(repr(self.q)) * int(coordinate))


@dataclass(frozen=True)
class RandInt(Parameter):
    """An integer from `low` to `high`, both included, however the file or Ray wrote the bound.

    Example:
        >>> RandInt("kernel_size", 2, 5).contains(5)
        True
    """

    low: int
    high: int
    kind: ClassVar[str] = "randint"

    @property
    def cardinality(self) -> int:
        """How many integers there are."""
        return self.high - self.low + 1

    def values_there_are(self) -> list[Scalar]:
        """The integers."""
        return list(range(self.low, self.high + 1))

    def contains(self, value: object) -> bool:
        """Whether `value` is an integer from low to high."""
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high

    def sample(self, rng: np.random.Generator) -> int:
        """Draw an integer uniformly."""
        return int(rng.integers(self.low, self.high + 1))

    def to_skopt(self) -> Any:
        """A `skopt.space.Integer`."""
        return _integer_dimension(self.name, self.low, self.high, is_log=self.is_log)

    def _tune_arguments(self) -> tuple[Any, ...]:
        return (self.low, self.high + 1)

    def decode(self, coordinate: Any) -> int:
        """An int, held in the bounds."""
        nearest: int = round(coordinate)
        return min(max(nearest, self.low), self.high)


@dataclass(frozen=True)
class LogRandInt(RandInt):
    """An integer from `low` to `high`, both included, whose logarithm is uniform; low > 0."""

    kind: ClassVar[str] = "lograndint"
    is_log: ClassVar[bool] = True

    def sample(self, rng: np.random.Generator) -> int:
        """Draw an integer whose logarithm is uniform, as Ray does: the floor of the real number."""
        return self.decode(math.floor(math.exp(rng.uniform(math.log(self.low), math.log(self.high + 1)))))


@dataclass(frozen=True)
class Choice(Parameter):
    """One of a few values without an order.

    Example:
        >>> Choice("optimizer", ("sgd", "adam")).encode("adam")
        '1'
    """

    values: tuple[Scalar, ...]
    kind: ClassVar[str] = "choice"

    @property
    def cardinality(self) -> int:
        """How many values there are."""
        return len(self.values)

    def values_there_are(self) -> list[Scalar]:
        """The values."""
        return list(self.values)

    def contains(self, value: object) -> bool:
        """Whether `value` is one of the values; True is not 1."""
        return any(_is_same(value, known) for known in self.values)

    def sample(self, rng: np.random.Generator) -> Scalar:
        """Draw one of the values uniformly."""
        return self.values[int(rng.integers(len(self.values)))]

    def to_skopt(self) -> Any:
        """A `skopt.space.Categorical` over the indices as text."""
        return _categorical_dimension(self.name, [str(index) for index in range(len(self.values))])

    def _tune_arguments(self) -> tuple[Any, ...]:
        return (list(self.values),)

    def encode(self, value: Scalar) -> str:
        """The index of `value`, as text."""
        return str(next(index for index, known in enumerate(self.values) if _is_same(value, known)))

    def decode(self, coordinate: Any) -> Scalar:
        """The value at an index."""
        return self.values[int(coordinate)]


def _is_same(left: object, right: object) -> bool:
    return isinstance(left, bool) == isinstance(right, bool) and left == right


def _integer_dimension(name: str, low: int, high: int, *, is_log: bool = False) -> Any:
    """An Integer; scikit-optimize refuses one with a single value, so that becomes a Categorical."""
    from skopt.space import Integer

    if low == high:
        return _categorical_dimension(name, [low])
    # "normalize", since the bounds of an untransformed logarithmic Integer are wrong in scikit-optimize 0.10:
    # with tree models, every proposal was clipped to the upper bound.
    prior = "log-uniform" if is_log else "uniform"
    return Integer(low, high, prior=prior, transform="normalize", name=name)


def _categorical_dimension(name: str, categories: Sequence[Scalar]) -> Any:
    from skopt.space import Categorical

    return Categorical(list(categories), name=name)


KINDS: dict[str, type[Parameter]] = {
    kind.kind: kind for kind in (Uniform, LogUniform, QUniform, RandInt, LogRandInt, Choice)
}
