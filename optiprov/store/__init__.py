"""The provenance store: schema, engines, the writer, and asking.

Importing this package costs next to nothing: each public name is imported on its first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optiprov.store.connection import connect
    from optiprov.store.lineage import Lineage
    from optiprov.store.provenance import Provenance, StoredValue
    from optiprov.store.url import StoreUrl, service_file

_HOMES = {
    "Lineage": "optiprov.store.lineage",
    "Provenance": "optiprov.store.provenance",
    "StoreUrl": "optiprov.store.url",
    "StoredValue": "optiprov.store.provenance",
    "connect": "optiprov.store.connection",
    "service_file": "optiprov.store.url",
}

__all__ = ["Lineage", "Provenance", "StoreUrl", "StoredValue", "connect", "service_file"]


def __getattr__(name: str) -> Any:
    """Import a public name on its first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'optiprov.store' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
