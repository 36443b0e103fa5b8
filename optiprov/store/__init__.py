"""The provenance store: schema, engines, the writer, and asking."""

from __future__ import annotations

from optiprov.store.connection import connect
from optiprov.store.provenance import Provenance, StoredValue
from optiprov.store.url import StoreUrl, service_file

__all__ = ["Provenance", "StoreUrl", "StoredValue", "connect", "service_file"]
