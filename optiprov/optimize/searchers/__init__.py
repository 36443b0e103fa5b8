"""Searchers: they propose the next configuration of a study. One strategy a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optiprov.optimize.searchers.observations import Observation
    from optiprov.optimize.searchers.skopt import SkOptSearch

__all__ = ["Observation", "SkOptSearch"]


def __getattr__(name: str) -> Any:
    """Import a searcher when it is asked for: each brings ray and its own libraries along."""
    if name == "SkOptSearch":
        from optiprov.optimize.searchers.skopt import SkOptSearch

        return SkOptSearch
    if name == "Observation":
        from optiprov.optimize.searchers.observations import Observation

        return Observation
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
