"""What is to be optimized, as users declare it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Goal:
    """A metric that is to be as small or as large as possible.

    Attributes:
        metric: The key that `run_objective` reports.
        mode: "min" or "max".
    """

    metric: str
    mode: str


def minimize(metric: str) -> Goal:
    """Declare a metric that is to be as small as possible.

    Example:
        >>> minimize("latency_s")
        Goal(metric='latency_s', mode='min')
    """
    return Goal(metric, "min")


def maximize(metric: str) -> Goal:
    """Declare a metric that is to be as large as possible.

    Example:
        >>> maximize("accuracy")
        Goal(metric='accuracy', mode='max')
    """
    return Goal(metric, "max")
