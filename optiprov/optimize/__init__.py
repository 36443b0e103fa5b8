"""Optimization: studies, searchers and trials. The only package that imports ray."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optiprov.optimize.ray_session import configure_environment

configure_environment()  # Ray reads it when it is imported, by whomever

if TYPE_CHECKING:
    from optiprov.optimize.objectives import maximize, minimize
    from optiprov.optimize.optimization import Optimization
    from optiprov.optimize.searchers import SkOptSearch
    from optiprov.optimize.space import SearchSpace

_HOMES = {
    "Optimization": "optiprov.optimize.optimization",
    "SearchSpace": "optiprov.optimize.space",
    "SkOptSearch": "optiprov.optimize.searchers",
    "maximize": "optiprov.optimize.objectives",
    "minimize": "optiprov.optimize.objectives",
}

__all__ = ["Optimization", "SearchSpace", "SkOptSearch", "maximize", "minimize"]


def __getattr__(name: str) -> Any:
    """Import a public name on its first use: a search space needs no ray."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
