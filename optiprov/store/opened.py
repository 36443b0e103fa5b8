"""Asking a store that stays open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optiprov.store.provenance import Provenance

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from optiprov.store.attributes import DatasetAttribute
    from optiprov.store.backend import Backend


class OpenedProvenance(Provenance):
    """The provenance in a database that is open, and is not closed by this.

    Args:
        backend: the open database.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._attributes_known: tuple[Backend, int, list[DatasetAttribute]] | None = None

    def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> pa.Table:
        """Run one read-only query."""
        return self._backend.fetch(sql, parameters)

    def _attributes(self) -> list[DatasetAttribute]:
        """Return the attributes; where nobody else writes, they are read again after a commit only."""
        backend, known = self._backend, self._attributes_known
        commits = backend.commits  # before they are read: a commit meanwhile has them read again
        if known is not None and backend.writes_alone and known[:2] == (backend, commits):
            return known[2]
        attributes = super()._attributes()
        self._attributes_known = (backend, commits, attributes)
        return attributes
