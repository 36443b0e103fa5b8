"""Searchers: they propose the next configuration of a study. One strategy a file."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optiprov.optimize.searchers.auto import AutoSearch
    from optiprov.optimize.searchers.observations import Observation
    from optiprov.optimize.searchers.optuna import OptunaSearch
    from optiprov.optimize.searchers.sampled import DesignSearch
    from optiprov.optimize.searchers.skopt import SkOptSearch

_MODULES = {
    "AutoSearch": "auto",
    "DesignSearch": "sampled",
    "Observation": "observations",
    "OptunaSearch": "optuna",
    "SkOptSearch": "skopt",
}

__all__ = ["AutoSearch", "DesignSearch", "Observation", "OptunaSearch", "SkOptSearch"]


def __getattr__(name: str) -> Any:
    """Import a searcher when it is asked for: each brings ray and its own libraries along."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
