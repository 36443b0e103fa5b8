"""The logarithm of the expected improvement, and the point of a space where it is greatest.

The logarithm keeps a slope where the improvement itself is too small for a number (Ament et al. 2023,
https://arxiv.org/abs/2310.20708).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize
from scipy.special import erfcx, log_ndtr, ndtr
from scipy.stats import qmc

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from optiprov.optimize.searchers.gaussian_process import GaussianProcess
    from optiprov.optimize.searchers.unit_space import UnitSpace

    Array = NDArray[np.float64]

_LOG_ROOT_2PI = 0.5 * np.log(2 * np.pi)
_EVERYWHERE = 512  # a power of 2, for Sobol's points
_AROUND, _BEST = 24, 5
_SPREADS = (0.1, 0.02)
_STARTS, _APART = 5, 0.05
_STEPS = 50
_STRIDES = (1, 2, 5)
_MOVES = 20
_KEPT = 50


def log_improvement(mean: Array, variance: Array, best: float) -> Array:
    """The logarithm of the expected improvement below `best`, at points of a mean and a variance."""
    deviation = np.sqrt(variance)
    logarithms: Array = _log_h((best - mean) / deviation) + np.log(deviation)
    return logarithms


def ranked(
    process: GaussianProcess, space: UnitSpace, points: Array, best: float, rng: np.random.Generator
) -> Array:
    """Points of the space, those first where the expected improvement is greatest.

    Args:
        process: What is expected where.
        space: The space.
        points: Where values are known, (n, dimensions).
        best: What is to be improved on.
        rng: Of the candidates.

    Returns:
        Points at which there are configurations, (m, dimensions); m is not 0.
    """
    means, _ = process.predict(points)
    candidates = np.vstack([*_candidates(space, points[np.argsort(means)[:_BEST]], rng)])
    scores = log_improvement(*process.predict(candidates), best)
    order = np.argsort(-scores)
    found = [
        climbed for start in _apart(candidates[order]) for climbed in _climb(process, space, start, best)
    ]
    every = np.vstack([*found, candidates[order[:_KEPT]]])
    return every[np.argsort(-log_improvement(*process.predict(every), best), kind="stable")]


def _candidates(space: UnitSpace, centres: Array, rng: np.random.Generator) -> Iterator[Array]:
    """Points everywhere, and around the best."""
    dimensions = len(space.axes)
    yield space.from_uniform(qmc.Sobol(dimensions, seed=rng).random(_EVERYWHERE))
    for centre in centres:
        for spread in _SPREADS:
            around = centre + spread * rng.standard_normal((_AROUND, dimensions))
            elsewhere = space.from_uniform(rng.random((_AROUND, dimensions)))
            for column, axis in enumerate(space.axes):
                if axis.is_category:
                    around[:, column] = elsewhere[:, column]
                elif axis.places is not None:
                    step = 1 / max(len(axis.places) - 1, 1)
                    around[:, column] = centre[column] + step * rng.integers(-2, 3, _AROUND)
            moves = rng.random(around.shape) < max(0.5, 2 / dimensions)
            yield space.snap(np.where(moves, around, centre))


def _apart(points: Array) -> list[Array]:
    """The first points that are not near one another."""
    chosen: list[Array] = []
    for point in points:
        if all(np.max(np.abs(point - other)) > _APART for other in chosen):
            chosen.append(point)
        if len(chosen) == _STARTS:
            break
    return chosen


def _climb(process: GaussianProcess, space: UnitSpace, start: Array, best: float) -> Iterator[Array]:
    """Better and better points from one on: along the continuous axes, then from value to value of others."""
    point = start
    for _ in range(3):
        if space.is_continuous.any():
            point = _climb_continuous(process, space, point, best)
        yield point[None, :]
        if space.is_continuous.all():
            return
        has_moved = False
        for _ in range(_MOVES):
            neighbours = np.vstack([point[None, :], *_neighbours(space, point)])
            yield neighbours[1:]
            scores = log_improvement(*process.predict(neighbours), best)
            highest = int(np.argmax(scores))
            if scores[highest] <= scores[0] + 1e-9:
                break
            point, has_moved = neighbours[highest], True
        if not has_moved:
            return


def _climb_continuous(process: GaussianProcess, space: UnitSpace, start: Array, best: float) -> Array:
    free = space.is_continuous
    point = start.copy()

    def cost(places: Array) -> tuple[float, Array]:
        point[free] = places
        at = process.slope(point)
        deviation = np.sqrt(at.variance)
        scaled = (best - at.mean) / deviation
        log_h = float(_log_h(np.array([scaled]))[0])
        deviation_gradient = at.variance_gradient / (2 * deviation)
        scaled_gradient = -(at.mean_gradient + scaled * deviation_gradient) / deviation
        ratio = np.exp(log_ndtr(scaled) - log_h)  # the derivative of log h
        gradient = ratio * scaled_gradient + deviation_gradient / deviation
        return -(log_h + np.log(deviation)), -gradient[free]

    bounds = [(0.0, 1.0)] * int(free.sum())
    ended = minimize(
        cost, start[free], jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _STEPS}
    )
    reached: Array = start.copy()
    reached[free] = ended.x
    return reached


def _neighbours(space: UnitSpace, point: Array) -> Iterator[Array]:
    """The points that differ in one axis that is no continuum: other categories, values some steps away."""
    for column, axis in enumerate(space.axes):
        if axis.places is None:
            continue
        here = int(np.argmin(np.abs(axis.places - point[column])))
        if axis.is_category:
            there = [index for index in range(len(axis.places)) if index != here]
        else:
            steps = [sign * stride for stride in _STRIDES for sign in (1, -1)]
            there = [here + step for step in steps if 0 <= here + step < len(axis.places)]
        moved = np.repeat(point[None, :], len(there), axis=0)
        moved[:, column] = axis.places[there]
        yield moved


def _log_h(scaled: Array) -> Array:
    """log(phi(z) + z Phi(z)), for z far below 0 too."""
    result: Array = np.empty_like(scaled)
    is_plain = scaled > -1
    plain, low = scaled[is_plain], scaled[~is_plain]
    result[is_plain] = np.log(np.exp(-0.5 * plain**2 - _LOG_ROOT_2PI) + plain * ndtr(plain))
    mills = -low * np.sqrt(np.pi / 2) * erfcx(-low / np.sqrt(2))
    far = low < -1e4  # where 1 - mills is lost to rounding, and 1 / z**2 to the last digit
    left = np.where(far, 1 / np.maximum(low**2, 1.0), 1 - mills)
    result[~is_plain] = -0.5 * low**2 - _LOG_ROOT_2PI + np.log(np.maximum(left, 1e-300))
    return result
