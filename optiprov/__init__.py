"""optiprov: optimize experiments on the edge-to-cloud continuum and keep their provenance.

Importing this package costs next to nothing: each public name is imported on its first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optiprov.capture import Data, File, Task, Workflow
    from optiprov.deploy.services import Service
    from optiprov.optimize import Optimization, maximize, minimize
    from optiprov.store import connect

__version__ = "0.1.0"

_HOMES = {
    "Data": "optiprov.capture",
    "File": "optiprov.capture",
    "Optimization": "optiprov.optimize",
    "Service": "optiprov.deploy.services",
    "Task": "optiprov.capture",
    "Workflow": "optiprov.capture",
    "connect": "optiprov.store",
    "maximize": "optiprov.optimize",
    "minimize": "optiprov.optimize",
}

__all__ = [
    "Data",
    "File",
    "Optimization",
    "Service",
    "Task",
    "Workflow",
    "__version__",
    "connect",
    "maximize",
    "minimize",
]


def __getattr__(name: str) -> Any:
    """Import a public name on its first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'optiprov' has no attribute {name!r}; it has {', '.join(__all__)}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
