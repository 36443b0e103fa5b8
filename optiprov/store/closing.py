"""Closes what nobody else will: runs of clients that have fallen silent, and studies of drivers that died."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optiprov.records import Status

if TYPE_CHECKING:
    import datetime
    from collections.abc import Sequence

    from optiprov.store.backend import Backend

SERVED_STUDY = "OPTIPROV_SERVED_STUDY"
"""The variable that names the study whose driver has started a service."""

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


def close_study(backend: Backend, study: str, reason: str, ended_at: datetime.datetime) -> None:
    """Record that a study has stopped, and its open trials with it, unless it has ended.

    Args:
        backend: the open database; this is one transaction.
        study: its name.
        reason: why.
        ended_at: when, UTC.
    """
    open_study = (
        "FROM prov.study_begin b WHERE b.study = ? AND NOT EXISTS"
        " (SELECT 1 FROM prov.study_end e WHERE e.study = b.study)"
    )
    with backend.transaction():
        backend.execute(
            "INSERT INTO prov.trial_end (study, trial_id, status, reason, ended_at)"
            f" SELECT DISTINCT t.study, t.trial_id, ?, ?, ? FROM prov.trial_begin t"
            f" WHERE t.study IN (SELECT b.study {open_study})"
            " AND NOT EXISTS (SELECT 1 FROM prov.trial_end e"
            " WHERE e.study = t.study AND e.trial_id = t.trial_id)",
            (Status.STOPPED, reason, ended_at, study),
        )
        backend.execute(
            "INSERT INTO prov.study_end (study, status, reason, ended_at)"
            f" SELECT DISTINCT b.study, ?, ?, ? {open_study}",
            (Status.STOPPED, reason, ended_at, study),
        )
