"""What a searcher knows: evaluated configurations, and those in flight.

Ray tells a searcher only that a trial is complete. Whether it ran to its end or a scheduler stopped it
shows in its results: optiprov's trainables put `optiprov_final` into the last result of a trial that ran to
its end.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

FINAL_KEY = "optiprov_final"

Kind = Literal["final", "stopped", "failed"]
Reason = Literal["given", "initial design", "model", "unseen"]


@dataclass(frozen=True)
class Observation:
    """The outcome of one trial.

    Attributes:
        config: The configuration, plain Python values.
        value: The objective as the trial reported it; NaN if it failed or was stopped before it reported.
        kind: "final" for a trial that ran to its end, "stopped" for one that a scheduler stopped (its value
            is of lower fidelity), "failed" for one that crashed or did not give a finite number.
        trial_id: The trial; None for a point that was evaluated elsewhere.
    """

    config: dict[str, Any]
    value: float
    kind: Kind = "final"
    trial_id: str | None = None


@dataclass(frozen=True)
class Suggestion:
    """A configuration that was proposed and is not evaluated yet.

    Attributes:
        config: The configuration.
        reason: "given" (a point to evaluate), "initial design", "model" (the surrogate's choice) or
            "unseen" (the surrogate's choice was known already, or there was nothing to fit a surrogate to).
        predicted: The surrogate's mean for the objective, in the objective's own sign; None without a
            surrogate.
        predicted_std: The standard deviation that goes with it.
    """

    config: dict[str, Any]
    reason: Reason
    predicted: float | None = None
    predicted_std: float | None = None


@dataclass
class Ledger:
    """The observations of a study and its trials in flight. Not thread-safe; owned by one searcher.

    Attributes:
        mode: "min" or "max".
        final_key: The key of a last result that marks a trial as run to its end. Trials count as final
            without it as long as no result ever had it (a trainable that knows nothing of optiprov); None:
            always.
    """

    mode: str = "min"
    final_key: str | None = FINAL_KEY
    pending: dict[str, Suggestion] = field(default_factory=dict)
    has_marks: bool = False
    _last: dict[str, float] = field(default_factory=dict)
    _done: list[Observation] = field(default_factory=list)
    _unmarked: set[int] = field(default_factory=set)

    @property
    def observations(self) -> list[Observation]:
        """Every outcome so far, in the order of completion."""
        return self.since(0)

    def __len__(self) -> int:
        return len(self._done)

    def since(self, first: int) -> list[Observation]:
        """The outcomes from the one of this index on, in the order of completion.

        What an earlier call has returned as final is "stopped" in a later one where the first mark (see
        `has_marks`) was seen between them.
        """
        done = self._done[first:]
        if not (self.has_marks and self._unmarked):
            return done
        return [
            replace(seen, kind="stopped") if index in self._unmarked else seen
            for index, seen in enumerate(done, first)
        ]

    def report(self, trial_id: str, result: Mapping[str, Any], metric: str) -> None:
        """Note an intermediate result of a trial."""
        self._look_for_mark(result)
        self._last[trial_id] = _finite(result.get(metric))

    def complete(self, trial_id: str, result: Mapping[str, Any] | None, metric: str, *, error: bool) -> None:
        """Move a trial from those in flight to the observations; one that is not in flight is left alone."""
        last = self._last.pop(trial_id, math.nan)
        suggestion = self.pending.pop(trial_id, None)
        if suggestion is None:
            return
        if error:
            self.add(Observation(suggestion.config, math.nan, "failed", trial_id))
        elif not result:
            self.add(Observation(suggestion.config, last, "stopped", trial_id))
        else:
            self._look_for_mark(result)
            value = _finite(result.get(metric))
            if math.isfinite(value) and self.final_key is not None and not result.get(self.final_key):
                self._unmarked.add(len(self._done))
            kind: Kind = "final" if math.isfinite(value) else "failed"
            self.add(Observation(suggestion.config, value, kind, trial_id))

    def add(self, observation: Observation) -> None:
        """Add an outcome."""
        self._done.append(observation)

    def targets(self) -> list[tuple[dict[str, Any], float]]:
        """What to tell a model that minimizes: (configuration, value to minimize); empty without finals.

        - A final counts as it is.
        - A stopped trial counts as the worse of its last value and the median of the finals: a value at low
          fidelity must not pass for a good one.
        - A failed trial counts as the worst value seen.
          A trial that was stopped before it reported counts as that median.
        """
        sign = -1.0 if self.mode == "max" else 1.0
        outcomes = self.observations
        finals = [sign * seen.value for seen in outcomes if seen.kind == "final"]
        if not finals:
            return []
        middle = median(finals)
        told = []
        worst = max(sign * seen.value for seen in outcomes if math.isfinite(seen.value))
        for seen in outcomes:
            value = sign * seen.value
            if seen.kind == "failed":
                value = worst
            elif seen.kind == "stopped":
                value = max(value, middle) if math.isfinite(value) else middle
            told.append((seen.config, value))
        return told

    def lies(self) -> list[tuple[dict[str, Any], float]]:
        """What to tell a model of the trials in flight, as `targets` does; empty without finals.

        Each counts as what the model predicted for it when it was suggested (kriging believer; Ginsbourger
        et al. 2010, https://hal.science/hal-00260579), but not as better than the best that was seen: a
        model that believes in what it hopes for hopes for more. Without a model it is the median.
        """
        sign = -1.0 if self.mode == "max" else 1.0
        finals = [sign * seen.value for seen in self.observations if seen.kind == "final"]
        if not finals:
            return []
        return [
            (one.config, median(finals) if one.predicted is None else max(sign * one.predicted, min(finals)))
            for one in self.pending.values()
        ]

    def state(self) -> dict[str, Any]:
        """The ledger as JSON-able values."""
        return {
            "mode": self.mode,
            "has_marks": self.has_marks,
            "pending": {trial_id: asdict(suggestion) for trial_id, suggestion in self.pending.items()},
            "last": self._last,
            "done": [asdict(seen) for seen in self._done],
            "unmarked": sorted(self._unmarked),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` gave."""
        self.mode = state["mode"]
        self.has_marks = state["has_marks"]
        self.pending = {trial_id: Suggestion(**values) for trial_id, values in state["pending"].items()}
        self._last = dict(state["last"])
        self._done = [Observation(**values) for values in state["done"]]
        self._unmarked = set(state["unmarked"])

    def _look_for_mark(self, result: Mapping[str, Any]) -> None:
        self.has_marks = self.has_marks or (self.final_key is not None and self.final_key in result)


def _finite(value: Any) -> float:
    """A reported value as a float; NaN for what is not a finite number."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return math.nan
    return number if math.isfinite(number) else math.nan
