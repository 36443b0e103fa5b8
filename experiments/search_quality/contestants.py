"""Who searches: optiprov, and its peers through their own interfaces."""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from optiprov.optimize.parameters import RandInt, Uniform
from optiprov.optimize.searchers import AutoSearch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from optiprov.optimize.parameters import Parameter
    from optiprov.optimize.space import SearchSpace


class Contestant(ABC):
    """Proposes configurations and is told their values; several may be in flight."""

    @abstractmethod
    def ask(self) -> tuple[Any, Mapping[str, Any]]:
        """A handle, and the configuration to evaluate."""

    @abstractmethod
    def tell(self, handle: Any, value: float) -> None:
        """The value of a configuration."""

    def recommend(self) -> Mapping[str, Any] | None:
        """What to take in the end, under noise; None: that with the best value seen."""
        return None


class _Auto(Contestant):
    def __init__(self, space: SearchSpace, seed: int) -> None:
        self._search = AutoSearch(space, metric="value", mode="min", seed=seed)
        self._asked = 0

    def ask(self) -> tuple[Any, Mapping[str, Any]]:
        self._asked += 1
        handle = str(self._asked)
        return handle, self._search.suggest(handle)

    def tell(self, handle: Any, value: float) -> None:
        self._search.on_trial_complete(handle, {"value": value})

    def recommend(self) -> Mapping[str, Any] | None:
        return self._search.recommend()


class _Random(Contestant):
    def __init__(self, space: SearchSpace, seed: int) -> None:
        self._space, self._rng = space, np.random.default_rng(seed)

    def ask(self) -> tuple[Any, Mapping[str, Any]]:
        return None, self._space.sample(self._rng)

    def tell(self, handle: Any, value: float) -> None:
        del handle, value


class _Skopt(Contestant):
    """scikit-optimize with its own defaults, but for the estimator."""

    def __init__(self, space: SearchSpace, seed: int, estimator: str) -> None:
        from skopt import Optimizer

        self._space = space
        self._optimizer = Optimizer(space.to_skopt(), estimator, acq_func="gp_hedge", random_state=seed)

    def ask(self) -> tuple[Any, Mapping[str, Any]]:
        point = self._optimizer.ask()
        return point, self._space.decode(point)

    def tell(self, handle: Any, value: float) -> None:
        self._optimizer.tell(handle, value)


class _Optuna(Contestant):
    """Optuna with its own defaults, but for the sampler."""

    def __init__(self, space: SearchSpace, seed: int, sampler: str) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._space = space
        self._study = optuna.create_study(sampler=getattr(optuna.samplers, sampler)(seed=seed))

    def ask(self) -> tuple[Any, Mapping[str, Any]]:
        trial = self._study.ask()
        return trial, {one.name: _suggested(trial, one) for one in self._space}

    def tell(self, handle: Any, value: float) -> None:
        self._study.tell(handle, value)


def _suggested(trial: Any, parameter: Parameter) -> float:
    if isinstance(parameter, RandInt):
        return int(trial.suggest_int(parameter.name, parameter.low, parameter.high))
    if isinstance(parameter, Uniform):
        return float(trial.suggest_float(parameter.name, parameter.low, parameter.high))
    raise TypeError(f"{parameter}: the problems here have none of these")


CONTESTANTS: dict[str, Callable[[SearchSpace, int], Contestant]] = {
    "optiprov auto": _Auto,
    "skopt GP": lambda space, seed: _Skopt(space, seed, "GP"),
    "skopt ET": lambda space, seed: _Skopt(space, seed, "ET"),
    "Optuna TPE": lambda space, seed: _Optuna(space, seed, "TPESampler"),
    "Optuna GP": lambda space, seed: _Optuna(space, seed, "GPSampler"),
    "random": _Random,
}


def is_there(name: str) -> bool:
    """Whether what a contestant needs is installed."""
    needed = {"Optuna TPE": ["optuna"], "Optuna GP": ["optuna", "torch"]}.get(name, [])
    return all(find_spec(module) is not None for module in needed)
