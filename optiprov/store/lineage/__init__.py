"""Lineage: what led to a data item or a task, and what came of it."""

from optiprov.store.lineage.result import Lineage, trace

__all__ = ["Lineage", "trace"]
