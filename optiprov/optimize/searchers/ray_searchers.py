"""Searchers that Ray ships, over search spaces of ours."""

from __future__ import annotations

import math
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ray import tune
from ray.tune.search.searcher import Searcher

from optiprov.errors import MissingExtraError
from optiprov.optimize.parameters import Choice, QUniform

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optiprov.optimize.parameters import Parameter
    from optiprov.optimize.space import SearchSpace


class RaySearch(Searcher):  # type: ignore[misc]
    """Hands on to a searcher of Ray's.

    It searches multiples and choices by their number, which all of Ray's searchers understand, and gets
    plain Python values back. A trial whose value is not a finite number has failed.

    Args:
        searcher: Ray's searcher, without a space.
        space: The search space.
        metric: The objective's key in the results.
        mode: "min" or "max".
    """

    takes_num_samples = False

    def __init__(self, searcher: Searcher, space: SearchSpace, *, metric: str, mode: str) -> None:
        super().__init__(metric=metric, mode=mode)
        self._inner = searcher  # not `searcher`: Ray asks that of limiters for their inner one
        self._space = space
        self._parameters = {one.name: one for one in space}
        searcher.set_search_properties(metric, mode, {one.name: _domain(one) for one in space})

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: Mapping[str, Any], **_spec: Any
    ) -> bool:
        """Whether the configuration's search space is the one that is searched."""
        del metric, mode
        return type(self._space).from_tune(config).parameters == self._space.parameters

    def suggest(self, trial_id: str) -> Any:
        """Propose the configuration of a trial."""
        found = self._inner.suggest(trial_id)
        if not isinstance(found, dict):
            return found  # that there is none now, or none any more
        values = {name: one.decode(_plain(found[name])) for name, one in self._parameters.items()}
        return values | dict(self._space.constants)

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """Hand on an intermediate result."""
        if self._has_value(result):
            self._inner.on_trial_result(trial_id, result)

    def on_trial_complete(
        self,
        trial_id: str,
        result: Mapping[str, Any] | None = None,
        error: bool = False,  # noqa: FBT001, FBT002 -- Ray's signature
    ) -> None:
        """Hand on the outcome of a trial."""
        failed = error or result is None or not self._has_value(result)
        self._inner.on_trial_complete(trial_id, None if failed else result, failed)

    def on_pause(self, trial_id: str) -> None:
        """Hand on that a trial is paused, to a searcher that listens."""
        if hasattr(self._inner, "on_pause"):
            self._inner.on_pause(trial_id)

    def on_unpause(self, trial_id: str) -> None:
        """Hand on that a paused trial goes on."""
        if hasattr(self._inner, "on_unpause"):
            self._inner.on_unpause(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Write the state to a file, as Ray's searcher does."""
        self._inner.save(checkpoint_path)

    def restore(self, checkpoint_path: str) -> None:
        """Go on from a file that `save` wrote."""
        self._inner.restore(checkpoint_path)

    def _has_value(self, result: Mapping[str, Any]) -> bool:
        value = result.get(str(self.metric))
        return isinstance(value, int | float) and math.isfinite(value)


class HyperOptSearch(RaySearch):
    """HyperOpt's tree-structured Parzen estimators, by Ray.

    Args:
        space: The search space.
        metric: The objective's key in the results.
        mode: "min" or "max".
        seed: The same seed gives the same sequence.

    Raises:
        MissingExtraError: HyperOpt is not installed.
    """

    def __init__(self, space: SearchSpace, *, metric: str, mode: str, seed: int | None = None) -> None:
        if find_spec("hyperopt") is None:
            raise MissingExtraError("the search 'hyperopt'", "hyperopt")
        from ray.tune.search.hyperopt import HyperOptSearch as OfRay

        super().__init__(OfRay(random_state_seed=seed), space, metric=metric, mode=mode)


class BohbSearch(RaySearch):
    """BOHB by Ray: a density estimate for each number of steps at which HyperBand compares trials.

    Args:
        space: The search space.
        metric: The objective's key in the results.
        mode: "min" or "max".
        seed: The same seed gives the same first configurations, which are drawn; its model has no seed.

    Raises:
        MissingExtraError: HpBandSter or ConfigSpace is not installed.
    """

    def __init__(self, space: SearchSpace, *, metric: str, mode: str, seed: int | None = None) -> None:
        if find_spec("hpbandster") is None or find_spec("ConfigSpace") is None:
            raise MissingExtraError("the search 'bohb'", "bohb")
        from ray.tune.search.bohb import TuneBOHB

        super().__init__(TuneBOHB(seed=seed), space, metric=metric, mode=mode)


def _domain(parameter: Parameter) -> Any:
    """What Ray's searcher searches for a parameter."""
    if isinstance(parameter, QUniform):
        return tune.randint(parameter.first, parameter.last + 1)
    if isinstance(parameter, Choice):
        return tune.choice([str(index) for index in range(len(parameter.values))])
    return parameter.to_tune()


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
