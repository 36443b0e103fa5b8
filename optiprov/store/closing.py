"""Closes what clients that have fallen silent left open of runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optiprov.records import Status

if TYPE_CHECKING:
    import datetime
    from collections.abc import Sequence

    from optiprov.store.backend import Backend

_OPEN = """
    FROM prov.run_begin b WHERE NOT EXISTS
        (SELECT 1 FROM prov.run_end e WHERE e.run_id = b.run_id AND e.client_id = b.client_id)"""


def clients_with_open_parts(backend: Backend) -> list[str]:
    """Return the clients that began or joined a run and have not ended their part of it."""
    return [client for (client,) in backend.rows(f"SELECT DISTINCT b.client_id {_OPEN}")]


def close_open_parts(
    backend: Backend, clients: Sequence[str], reason: str, ended_at: datetime.datetime
) -> None:
    """Record that the open parts of these clients' runs have stopped.

    The ends have no count of records, so that one of the client's own, should it still come, wins.

    Args:
        backend: the open database; this is one transaction.
        clients: whose parts.
        reason: why they are taken for stopped.
        ended_at: when, UTC.
    """
    with backend.transaction():
        for client in clients:
            backend.execute(
                "INSERT INTO prov.run_end (run_id, client_id, status, record_count, reason, ended_at)"
                f" SELECT DISTINCT b.run_id, b.client_id, ?, NULL, ?, ? {_OPEN} AND b.client_id = ?",
                (Status.STOPPED, reason, ended_at, client),
            )
