"""The shared engine: a database of a MonetDB server."""

from __future__ import annotations

from optiprov.store.monetdb.backend import MonetDBBackend

__all__ = ["MonetDBBackend"]
