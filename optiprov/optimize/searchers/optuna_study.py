"""What Optuna proposes: a study of its own, told of outcomes as they come."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from optiprov.optimize.parameters import Choice, QUniform, RandInt, Uniform
from optiprov.optimize.searchers.proposer import Proposal, Proposer
from optiprov.optimize.searchers.sampled import Design

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from optiprov.optimize.parameters import Parameter
    from optiprov.optimize.searchers.observations import Ledger, Observation
    from optiprov.optimize.searchers.proposer import Key
    from optiprov.optimize.space import SearchSpace

_TRIES = 5
_CMA_STATE = "cma:"


@dataclass(frozen=True)
class Sampler:
    """One of Optuna's samplers.

    Attributes:
        name: Its class.
        modules: What has to be installed.
        n_initial_points: Size of the initial design.
        knows_pruned: Whether it learns from trials that were stopped early, as lower than all others.
        options: What it is made with, beside a seed.
    """

    name: str
    modules: tuple[str, ...] = ("optuna",)
    n_initial_points: int = 1
    knows_pruned: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


SAMPLERS = {
    "tpe": Sampler("TPESampler", n_initial_points=10, knows_pruned=True, options={"constant_liar": True}),
    "cmaes": Sampler("CmaEsSampler", ("optuna", "cmaes"), options={"warn_independent_sampling": False}),
    "nsga2": Sampler("NSGAIISampler"),
    "gp": Sampler("GPSampler", ("optuna", "torch"), n_initial_points=10),
}


class OptunaStudy(Proposer):
    """Proposes what a sampler of Optuna's does.

    Optuna's study is told only what is new since the last proposal. Its trials are those of the ledger:
    in flight, ended, failed, and stopped early, which are pruned ones to a sampler that makes use of them,
    and to others end with what `Ledger.targets` has. A sampler lives for one proposal, so that a proposal is
    a function of the trials and a seed; what CMA-ES carries on lies in its trials.

    Args:
        space: The search space.
        sampler: A key of `SAMPLERS`.
        options: Further keyword arguments of the sampler.
    """

    def __init__(self, space: SearchSpace, sampler: str, options: Mapping[str, Any] | None = None) -> None:
        super().__init__(space)
        self._about = SAMPLERS[sampler]
        self._options = {**self._about.options, **(options or {})}
        self._distributions = {one.name: _distribution(one) for one in space}
        self._begin()

    def design(self, size: int, seed: int) -> list[dict[str, Any]]:
        """Sobol's points, scrambled."""
        return Design(self.space, "sobol").design(size, seed)

    def next(self, ledger: Ledger, known: set[Key], seed: int) -> Proposal | None:
        """Tell what is new, and ask; a known configuration is asked away a few times, then one is drawn."""
        with _quiet():
            self._catch_up(ledger)
            if not self._told:
                return None
            for attempt in range(_TRIES):
                self._study.sampler = self._make_sampler(seed + attempt)
                trial = self._study.ask(self._distributions)
                config = {one.name: one.decode(trial.params[one.name]) for one in self.space}
                self._count += 1
                if self.key(config) not in known:
                    self._running.setdefault(self.key(config), []).append(trial.number)
                    return Proposal(config)
                self._study.tell(trial.number, state=_state("FAIL"))
        unseen = self.unseen(known, seed, 1)
        return Proposal(unseen[0] if unseen else config, is_unseen_sample=True)

    def state(self) -> dict[str, Any]:
        """The trials of Optuna's study, as JSON-able values."""
        trials = self._study.get_trials(deepcopy=False)
        last = max((one.number for one in trials if _has_cma_state(one.system_attrs)), default=None)
        return {
            "told": self._told,
            "had_marks": self._had_marks,
            "study_attrs": self._study._storage.get_study_system_attrs(self._study._study_id),  # noqa: SLF001
            "trials": [
                {
                    "state": one.state.name,
                    "params": one.params,
                    "value": one.value,
                    "intermediate": one.intermediate_values.get(1),
                    "attrs": {
                        name: value
                        for name, value in one.system_attrs.items()
                        if one.number == last or not name.startswith(_CMA_STATE + "optimizer")
                    },
                }
                for one in trials
            ],
        }

    def restore(self, state: dict[str, Any] | None) -> None:
        """Take over the trials of a study."""
        self._begin()
        if state is None:
            return
        self._told, self._had_marks = state["told"], state["had_marks"]
        for name, value in state["study_attrs"].items():  # the parents of NSGA-II's generations
            self._study._storage.set_study_system_attr(self._study._study_id, name, value)  # noqa: SLF001
        for one in state["trials"]:
            self._add(one["state"], one["params"], one["value"], one["intermediate"], one["attrs"])
            if one["state"] == "RUNNING":
                config = {each.name: each.decode(one["params"][each.name]) for each in self.space}
                self._running.setdefault(self.key(config), []).append(self._count - 1)

    def _begin(self) -> None:
        """A study without trials."""
        import optuna

        with _quiet():
            self._study = optuna.create_study(direction="minimize")
        self._told = 0
        self._count = 0
        self._had_marks = False
        self._running: dict[Key, list[int]] = {}

    def _make_sampler(self, seed: int) -> Any:
        return _sampler_class(self._about.name)(self._distributions, seed=seed, **self._options)

    def _catch_up(self, ledger: Ledger) -> None:
        """Have Optuna's study know what the ledger does."""
        if ledger.has_marks != self._had_marks:
            self._begin()  # what it took for ended may have been stopped
            self._had_marks = ledger.has_marks
        outcomes = ledger.since(self._told)
        needs_targets = not self._about.knows_pruned and any(seen.kind == "stopped" for seen in outcomes)
        targets = ledger.targets() if needs_targets else []
        sign = -1.0 if ledger.mode == "max" else 1.0
        for index, seen in enumerate(outcomes, self._told):
            self._tell(seen, sign * seen.value, targets[index][1] if targets else None)
        self._told += len(outcomes)
        in_flight = Counter(self.key(one.config) for one in ledger.pending.values())
        for one in ledger.pending.values():
            key = self.key(one.config)
            if len(self._running.get(key, ())) < in_flight[key]:
                self._add("RUNNING", self._params(one.config))
                self._running.setdefault(key, []).append(self._count - 1)

    def _tell(self, seen: Observation, value: float, target: float | None) -> None:
        """Tell of an outcome: end the trial that ran, or add one that is not known."""
        if seen.kind == "final":
            state, told = "COMPLETE", value
        elif seen.kind == "stopped" and target is not None:
            state, told = "COMPLETE", target
        elif seen.kind == "stopped" and self._about.knows_pruned:
            state, told = "PRUNED", value
        else:
            state, told = "FAIL", math.nan
        numbers = self._running.get(self.key(seen.config), [])
        number = numbers.pop(0) if numbers else None
        if not numbers:
            self._running.pop(self.key(seen.config), None)
        if number is not None and state == "COMPLETE":
            self._study.tell(number, told)
            return
        if number is not None:
            self._study.tell(number, state=_state("FAIL"))
        if state == "PRUNED":  # a trial that is pruned by tell() would have lost its value
            self._add(state, self._params(seen.config), intermediate=told)
        elif number is None:
            self._add(state, self._params(seen.config), told)

    def _add(
        self,
        state: str,
        params: Mapping[str, Any],
        value: float | None = None,
        intermediate: float | None = None,
        attrs: Mapping[str, Any] | None = None,
    ) -> None:
        from optuna.trial import create_trial

        has_value = intermediate is not None and math.isfinite(intermediate)
        trial = create_trial(
            state=_state(state),
            params=dict(params),
            distributions=self._distributions,
            value=value if state == "COMPLETE" else None,
            intermediate_values={1: intermediate} if has_value and intermediate is not None else None,
            system_attrs=dict(attrs or {}),
        )
        self._study.add_trial(trial)
        self._count += 1

    def _params(self, config: Mapping[str, Any]) -> dict[str, Any]:
        return {one.name: _coordinate(one, config[one.name]) for one in self.space}


@cache
def _sampler_class(name: str) -> Any:
    """A sampler that is given the space, which it would find again in all trials at each proposal."""
    import optuna
    from optuna.distributions import CategoricalDistribution

    base = getattr(optuna.samplers, name)

    class OfKnownSpace(base):  # type: ignore[misc, valid-type]
        def __init__(self, distributions: Mapping[str, Any], **options: Any) -> None:
            super().__init__(**options)
            self._relative = {
                key: one
                for key, one in distributions.items()
                if not (one.single() or (name == "CmaEsSampler" and isinstance(one, CategoricalDistribution)))
            }

        def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
            del study, trial
            return self._relative

    return OfKnownSpace


def _distribution(parameter: Parameter) -> Any:
    """Optuna's distribution over what `_coordinate` gives."""
    from optuna import distributions

    if isinstance(parameter, Uniform):
        return distributions.FloatDistribution(parameter.low, parameter.high, log=parameter.is_log)
    if isinstance(parameter, RandInt):
        return distributions.IntDistribution(parameter.low, parameter.high, log=parameter.is_log)
    if isinstance(parameter, QUniform):
        return distributions.IntDistribution(parameter.first, parameter.last)
    if isinstance(parameter, Choice):
        return distributions.CategoricalDistribution(range(len(parameter.values)))
    raise NotImplementedError(type(parameter).__name__)


def _coordinate(parameter: Parameter, value: Any) -> Any:
    coordinate = parameter.encode(value)
    return int(coordinate) if isinstance(parameter, Choice) else coordinate


def _state(name: str) -> Any:
    from optuna.trial import TrialState

    return TrialState[name]


def _has_cma_state(attrs: Mapping[str, Any]) -> bool:
    return any(name.startswith(_CMA_STATE + "optimizer") for name in attrs)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what Optuna logs of its studies, and its warnings of what is experimental."""
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
            warnings.filterwarnings("ignore", module=r"optuna|cmaes|torch")
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)
