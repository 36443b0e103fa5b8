"""Values as a Gaussian process wants them: with mean 0, variance 1, and not too skewed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import yeojohnson, yeojohnson_normmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_POWERS = (0.0, 2.0)


@dataclass(frozen=True)
class Scaling:
    """A shift and a stretch, and between two of them a power (Yeo and Johnson 2000, Biometrika 87).

    Attributes:
        mean: What is taken off first.
        std: What the rest is divided by.
        power: The power; None for none, where the other two are 0 and 1.
        bent_mean: What is taken off after the power.
        bent_std: What the rest is divided by.
    """

    mean: float
    std: float
    power: float | None = None
    bent_mean: float = 0.0
    bent_std: float = 1.0

    @classmethod
    def plain(cls, values: Array) -> Scaling:
        """The scaling of values without a power."""
        return cls(float(values.mean()), float(values.std()) or 1.0)

    @classmethod
    def bending(cls, values: Array) -> Scaling | None:
        """The scaling with the power that makes values most normal; None where none can be found."""
        first = cls.plain(values)
        scaled = first.apply(values)
        if len(np.unique(scaled)) < 3:
            return None
        power = float(np.clip(yeojohnson_normmax(scaled), *_POWERS))
        bent = yeojohnson(scaled, power)
        spread = float(bent.std())
        if not np.isfinite(spread) or spread == 0:
            return None
        return cls(first.mean, first.std, power, float(bent.mean()), spread)

    def apply(self, values: Array) -> Array:
        """Values scaled."""
        scaled = (values - self.mean) / self.std
        if self.power is not None:
            scaled = (yeojohnson(scaled, self.power) - self.bent_mean) / self.bent_std
        return scaled

    def log_slope(self, values: Array) -> float:
        """The logarithm of the product of the power's slopes: densities of values differ by it."""
        if self.power is None:
            return 0.0
        scaled = (values - self.mean) / self.std
        bends = (self.power - 1) * np.sum(np.sign(scaled) * np.log1p(np.abs(scaled)))
        return float(bends - len(scaled) * np.log(self.bent_std))

    def undo(self, mean: float, std: float) -> tuple[float, float]:
        """A scaled mean (rather, the median) and standard deviation in units of the values."""
        low, middle, high = (self._value(mean + step) for step in (-std, 0.0, std))
        return middle, (high - low) / 2

    def _value(self, scaled: float) -> float:
        if self.power is not None:
            scaled = _unbent(scaled * self.bent_std + self.bent_mean, self.power)
        return scaled * self.std + self.mean


def _unbent(bent: float, power: float) -> float:
    """The number of which Yeo and Johnson's power is `bent`; the last one there is, beyond its range."""
    if bent >= 0:
        if power == 0:
            return float(np.expm1(bent))
        return float(max(power * bent + 1, 1e-12) ** (1 / power) - 1)
    if power == 2:
        return float(-np.expm1(-bent))
    return float(1 - max((power - 2) * bent + 1, 1e-12) ** (1 / (2 - power)))
