"""What the searcher `auto` proposes: by a Gaussian process and the expected improvement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import qmc

from optiprov.optimize.searchers.blas import one_blas_thread
from optiprov.optimize.searchers.expected_improvement import ranked
from optiprov.optimize.searchers.gaussian_process import fit
from optiprov.optimize.searchers.proposer import ModelProposer, Proposal
from optiprov.optimize.searchers.scaling import Scaling
from optiprov.optimize.searchers.unit_space import UnitSpace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from optiprov.optimize.searchers.gaussian_process import GaussianProcess
    from optiprov.optimize.searchers.proposer import Key, Target
    from optiprov.optimize.space import SearchSpace

    Array = NDArray[np.float64]

MAX_VALUES = 250
"""A fit takes time in the cube of the values: of more, the best and the latest are fitted to, half each."""

_UNSEEN = 500


class Bayesian(ModelProposer):
    """Proposes where a Gaussian process expects the greatest improvement.

    Values that spread over orders of magnitude are explained better by a power of them, which is taken
    where it makes them more probable.

    Its state are the parameters of the last fits, from which the next ones begin.

    Args:
        space: The search space.
    """

    def __init__(self, space: SearchSpace) -> None:
        super().__init__(space)
        self._unit = UnitSpace(space)
        self._starts: dict[str, list[float]] = {}

    def design(self, size: int, seed: int) -> list[dict[str, Any]]:
        """Sobol's points, scrambled."""
        rng = np.random.default_rng(seed)
        power = max(size - 1, 0).bit_length()
        shares = qmc.Sobol(len(self._unit.axes), seed=rng).random(2**power)[:size]
        return [self._unit.config(point) for point in self._unit.from_uniform(shares)]

    def propose(
        self, targets: Sequence[Target], known: set[Key], seed: int, pending: Sequence[Target] = ()
    ) -> Proposal:
        """Fit the process, and take the best point that is not known.

        What is in flight is believed to be what the process expects there now.
        """
        rng = np.random.default_rng(seed)
        with one_blas_thread():
            process, scaling, points = self._fit_part(targets)
            best = float(process.predict(points)[0].min())
            if pending:
                process = process.believing(self._unit.points([config for config, _ in pending]))
            best_first = ranked(process, self._unit, points, best, rng)
            configs = (self._unit.config(point) for point in best_first)
            fresh = next((config for config in configs if self.key(config) not in known), None)
            config = fresh or self._best_unseen(process, known, seed) or self._unit.config(best_first[0])
            mean, variance = process.predict(self._unit.points([config]))
        expected, std = scaling.undo(float(mean[0]), float(np.sqrt(variance[0])))
        return Proposal(config, expected, std, is_unseen_sample=fresh is None)

    def expected(self, targets: Sequence[Target]) -> list[float]:
        """What is expected, without noise, of configurations whose noisy values are known."""
        with one_blas_thread():
            process, scaling, _ = self._fit_part(targets)
            means, variances = process.predict(self._unit.points([config for config, _ in targets]))
        pairs = zip(means, np.sqrt(variances), strict=True)
        return [scaling.undo(float(mean), float(deviation))[0] for mean, deviation in pairs]

    def state(self) -> dict[str, list[float]]:
        """The parameters of the last fits."""
        return self._starts

    def restore(self, state: dict[str, list[float]] | None) -> None:
        """Take over the parameters of fits."""
        self._starts = dict(state or {})

    def _best_unseen(self, process: GaussianProcess, known: set[Key], seed: int) -> dict[str, Any] | None:
        """Of a sample of what is not known, where the process expects the lowest value."""
        configs = self.unseen(known, seed, _UNSEEN)
        if not configs:
            return None
        means, _ = process.predict(self._unit.points(configs))
        return configs[int(np.argmin(means))]

    def _fit_part(self, targets: Sequence[Target]) -> tuple[GaussianProcess, Scaling, Array]:
        """Fit to the targets that are worth it; return their points with the process."""
        values = np.array([value for _, value in targets])
        chosen = _worth_fitting(values)
        points = self._unit.points([targets[index][0] for index in chosen])
        return *self._fit(points, values[chosen]), points

    def _fit(self, points: Array, values: Array) -> tuple[GaussianProcess, Scaling]:
        """The process that explains values best, of them or of a power of them."""
        plain, bending = Scaling.plain(values), Scaling.bending(values)
        process = self._process("plain", points, plain.apply(values))
        if bending is not None:
            other = self._process("bent", points, bending.apply(values))
            if other.cost - bending.log_slope(values) < process.cost:
                return other, bending
        return process, plain

    def _process(self, name: str, points: Array, values: Array) -> GaussianProcess:
        start = self._starts.get(name)
        first = None if start is None else np.array(start)
        process = fit(points, values, self._unit.is_category, first)
        self._starts[name] = [float(value) for value in process.parameters]
        return process


def _worth_fitting(values: Array) -> NDArray[np.intp]:
    """Which values to fit to: all, or the best and the latest of many."""
    if len(values) <= MAX_VALUES:
        return np.arange(len(values))
    latest = np.arange(len(values) - MAX_VALUES // 2, len(values))
    best = np.argsort(values[: latest[0]], kind="stable")[: MAX_VALUES - len(latest)]
    return np.concatenate([np.sort(best), latest])
