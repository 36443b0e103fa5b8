"""A Ray Tune searcher that keeps a ledger: what was tried, what is in flight, what came of it."""

from __future__ import annotations

import json
import math
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ray.tune.search.searcher import Searcher

from optiprov.errors import InputError
from optiprov.optimize.searchers.observations import FINAL_KEY, Ledger, Observation, Suggestion
from optiprov.optimize.space import SearchSpace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optiprov.optimize.searchers.observations import Reason
    from optiprov.optimize.searchers.proposer import Key, Proposer

STATE_VERSION = 2


class LedgerSearch(Searcher):  # type: ignore[misc]
    """Searches with what a `Proposer` makes of the outcomes so far.

    First come `points_to_evaluate`, then an initial design (each point that is known from
    `add_evaluated_point` replaces one), then what the proposer's model proposes. Trials in flight count in
    the model as what it predicted for them, so that concurrent trials spread out; a configuration is not
    tried twice while the space has others left. Trials that a scheduler stopped, and failed ones, count as
    `Ledger.targets` says.

    Not thread-safe: Tune calls it from one thread. A subclass says which proposer, and how large a design.

    Args:
        space: The search space, or a Tune configuration; None takes Tune's (`param_space`).
        metric: The objective's key in the results; None takes Tune's.
        mode: "min" or "max"; None takes Tune's.
        points_to_evaluate: Configurations to try first.
        seed: The same seed and the same order of results give the same sequence; None draws one (see
            `.seed`).
        final_key: The key that marks the last result of a trial that ran to its end. As long as no result
            ever had it, every completed trial counts as final; None: always.

    Attributes:
        seed: The seed in use.

    Raises:
        InputError: A setting that does not exist.
        SearchSpaceError: A space that is not understood, or a point outside it.
    """

    takes_num_samples = False
    """Whether the constructor has a use for the number of trials, as `num_samples`."""

    def __init__(
        self,
        space: SearchSpace | Mapping[str, Any] | None = None,
        *,
        metric: str | None = None,
        mode: str | None = None,
        points_to_evaluate: Sequence[Mapping[str, Any]] | None = None,
        seed: int | None = None,
        final_key: str | None = FINAL_KEY,
    ) -> None:
        _check_objective(metric, mode)
        super().__init__(metric=metric, mode=mode)
        self._metric: str | None = metric
        self._mode: str | None = mode
        self.seed = seed if isinstance(seed, int) else int(np.random.SeedSequence().generate_state(1)[0])
        self._rng = np.random.default_rng(self.seed)
        self._ledger = Ledger(mode=mode or "min", final_key=final_key)
        self._given = [dict(point) for point in points_to_evaluate or ()]
        self._design: list[dict[str, Any]] | None = None
        self._names: list[str] | None = None
        self._constants: dict[str, Any] = {}
        self._proposer: Proposer | None = None
        self._proposer_state: Any = None
        self._keys: list[Key] = []
        if space is not None:
            known = space if isinstance(space, SearchSpace) else SearchSpace.from_tune(space)
            self._constants = dict(known.constants)
            self._set_space(known)

    @abstractmethod
    def _make_proposer(self, space: SearchSpace) -> Proposer:
        """What proposes in a space."""

    @abstractmethod
    def _design_size(self, space: SearchSpace) -> int:
        """How many configurations are tried before the model proposes."""

    @property
    def observations(self) -> list[Observation]:
        """Every outcome so far, in the order of completion; configurations without constants."""
        return self._ledger.observations

    @property
    def suggestions(self) -> dict[str, Suggestion]:
        """The trials in flight: what was suggested for each, why, and what the model predicted."""
        return dict(self._ledger.pending)

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: Mapping[str, Any], **_spec: Any
    ) -> bool:
        """Take metric, mode and search space from Tune; what the constructor was given stays.

        Returns:
            Whether the configuration's search space is the one that is searched.
        """
        _check_objective(metric, mode)
        self._metric = self._metric or metric
        self._mode = self._mode or mode
        self._ledger.mode = self._mode or "min"
        space = SearchSpace.from_tune(config)
        if self._proposer is None and len(space):
            self._set_space(space)
        return self._proposer is not None and self._proposer.space.parameters == space.parameters

    def suggest(self, trial_id: str) -> dict[str, Any]:
        """Propose the configuration of a trial; the same one if asked again."""
        proposer = self._ready()
        if trial_id not in self._ledger.pending:
            self._ledger.pending[trial_id] = self._next(proposer)
        return self._ledger.pending[trial_id].config | self._constants

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """Note an intermediate result: it counts if the trial ends without another."""
        if self._metric:
            self._ledger.report(trial_id, result, self._metric)

    def on_trial_complete(
        self,
        trial_id: str,
        result: Mapping[str, Any] | None = None,
        error: bool = False,  # noqa: FBT001, FBT002 -- Ray's signature
    ) -> None:
        """Note the outcome of a trial."""
        self._ledger.complete(trial_id, result, self._metric or "", error=error)

    def on_pause(self, trial_id: str) -> None:
        """Nothing: a paused trial is in flight. BOHB's scheduler tells all searchers."""

    def on_unpause(self, trial_id: str) -> None:
        """Nothing, as well."""

    def add_evaluated_point(
        self,
        parameters: Mapping[str, Any],
        value: float,
        error: bool = False,  # noqa: FBT001, FBT002 -- Ray's signature
        pruned: bool = False,  # noqa: FBT001, FBT002
        intermediate_values: list[float] | None = None,  # noqa: ARG002
    ) -> None:
        """Warm-start with a configuration that was evaluated elsewhere; further keys in it are left out.

        Raises:
            InputError: There is no search space yet.
            SearchSpaceError: The configuration is not in the search space.
        """
        space = self._ready(needs_objective=False).space
        space.check(parameters)
        is_number = value is not None and math.isfinite(value)
        number = float(value) if is_number and not error else math.nan
        config = {name: parameters[name] for name in space.names}
        failed = error or not is_number
        kind = "failed" if failed else "stopped" if pruned else "final"
        self._ledger.add(Observation(config, number, kind))  # type: ignore[arg-type]
        if self._design:
            self._design.pop()

    def save(self, checkpoint_path: str) -> None:
        """Write the state to a file, as JSON."""
        Path(checkpoint_path).write_text(json.dumps(self.get_state()), encoding="utf-8")

    def restore(self, checkpoint_path: str) -> None:
        """Go on from a file that `save` wrote."""
        self.set_state(json.loads(Path(checkpoint_path).read_text(encoding="utf-8")))

    def get_state(self) -> dict[str, Any]:
        """All that the next suggestion depends on, as JSON-able values."""
        return {
            "version": STATE_VERSION,
            "metric": self._metric,
            "mode": self._mode,
            "seed": self.seed,
            "names": self._names,
            "ledger": self._ledger.state(),
            "given": self._given,
            "design": self._design,
            "proposer": self._proposer.state() if self._proposer is not None else self._proposer_state,
            "rng": self._rng.bit_generator.state,
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Take over what `get_state` gave.

        Raises:
            InputError: The state is of another version, or of another search space.
        """
        if state.get("version") != STATE_VERSION:
            raise InputError(
                f"a searcher's state of version {state.get('version')!r}, where {STATE_VERSION} is read. "
                "Restore it with the optiprov that wrote it."
            )
        self._check_names(state["names"])
        self._metric, self._mode, self.seed = state["metric"], state["mode"], state["seed"]
        self._ledger.restore(state["ledger"])
        self._keys = []
        self._given, self._design = list(state["given"]), state["design"]
        self._names, self._proposer_state = state["names"], state["proposer"]
        if self._proposer is not None:
            self._proposer.restore(self._proposer_state)
        self._rng.bit_generator.state = state["rng"]

    def _set_space(self, space: SearchSpace) -> None:
        """Search `space`: check the points to evaluate and draw the initial design."""
        searched = SearchSpace(space.parameters, name=space.name)
        if not len(searched):
            raise InputError("a search space without a parameter to search. Add one.")
        for point in self._given:
            searched.check(point)
        self._check_names(list(searched.names))
        self._names = list(searched.names)
        self._proposer = self._make_proposer(searched)
        if self._proposer_state is not None:
            self._proposer.restore(self._proposer_state)
        if self._design is None:
            self._design = self._proposer.design(self._design_size(searched), self._draw_seed())

    def _check_names(self, names: list[str] | None) -> None:
        if self._names is not None and names is not None and names != self._names:
            raise InputError(
                f"a searcher's state of the parameters {', '.join(names)}, but the space has "
                f"{', '.join(self._names)}. Restore it with the search space it was saved with."
            )

    def _ready(self, *, needs_objective: bool = True) -> Proposer:
        if self._proposer is None:
            raise InputError("the searcher has no search space. Give `space`, or `param_space` to the Tuner.")
        if needs_objective and not (self._metric and self._mode):
            got = f"metric={self._metric!r}, mode={self._mode!r}"
            raise InputError(f"the searcher needs metric and mode, got {got}. Give both here or to Tune.")
        return self._proposer

    def _next(self, proposer: Proposer) -> Suggestion:
        """Decide what to try next."""
        if self._given:
            return Suggestion(self._given.pop(0), "given")
        known = self._known(proposer)
        while self._design:
            config = self._design.pop(0)
            if proposer.key(config) not in known:
                return Suggestion(config, "initial design")
        seed = self._draw_seed()
        proposal = proposer.next(self._ledger, known, seed)
        if proposal is None:
            unseen = proposer.unseen(known, seed, 1)
            return Suggestion(unseen[0] if unseen else proposer.space.sample(self._rng), "unseen")
        mean = -proposal.mean if self._mode == "max" and proposal.mean is not None else proposal.mean
        reason: Reason = "unseen" if proposal.is_unseen_sample else "model"
        return Suggestion(proposal.config, reason, mean, proposal.std)

    def _known(self, proposer: Proposer) -> set[Key]:
        """The keys of every configuration that was evaluated or is in flight; they are made once."""
        self._keys += [proposer.key(seen.config) for seen in self._ledger.since(len(self._keys))]
        return {*self._keys, *(proposer.key(one.config) for one in self._ledger.pending.values())}

    def _draw_seed(self) -> int:
        return int(self._rng.integers(2**31 - 1))


def _check_objective(metric: object, mode: object) -> None:
    if metric is not None and not isinstance(metric, str):
        raise InputError(f"the searcher has one objective, got metric={metric!r}. Name one metric.")
    if mode not in (None, "min", "max"):
        raise InputError(f"mode needs to be 'min' or 'max', got {mode!r}.")
