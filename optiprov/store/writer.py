"""The one writer of a store: commits batches exactly once, in order within each client."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from optiprov.errors import StoreError
from optiprov.records import now_us
from optiprov.store.catalog import Catalog
from optiprov.store.datasets import DatasetWriter
from optiprov.store.gaps import Gaps
from optiprov.store.known import KnownTasks
from optiprov.store.reading import Reading
from optiprov.store.rows import Rows, timestamp
from optiprov.store.schema import migrate
from optiprov.store.specifying import store_specifications
from optiprov.store.values import clean_text
from optiprov.wire import Batch, Header

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from optiprov.store.backend import Backend

_log = logging.getLogger(__name__)

_REJECTED_AT_ONCE = 10_000  # of what came before a specification, which may be a whole dataset


class Ack(NamedTuple):
    """What a client is told: the mark up to which all is stored, and whether to send what follows again."""

    mark: int
    resend: bool


@dataclass
class Outcome:
    """What a commit has done."""

    commit_id: int
    acks: dict[str, Ack] = field(default_factory=dict)
    records: int = 0
    rejected: int = 0
    lost: int = 0


class Writer:
    """Appends batches to a store. Owned by one thread.

    Args:
        backend: the open database; it is brought to the present schema.

    Raises:
        StoreError: the store was written by a later version of optiprov.
    """

    def __init__(self, backend: Backend) -> None:
        migrate(backend)
        self._backend = backend
        self._catalog = Catalog(backend)
        self._known = KnownTasks(backend)
        self._is_stale = False  # what is known of the store, after a rollback
        marks = backend.rows(
            "SELECT client_id, max(mark), max(commit_id) FROM prov.ingest_mark GROUP BY client_id"
        )
        self.marks: dict[str, int] = {client: mark for client, mark, _ in marks}
        self._commit_id: int = max((commit for _, _, commit in marks), default=0)
        self._clients: set[str] = {client for (client,) in backend.rows("SELECT client_id FROM prov.client")}
        self._gaps = Gaps(backend, self.marks)

    @property
    def commit_id(self) -> int:
        """The number of the last commit."""
        return self._commit_id

    @property
    def clients_ahead(self) -> list[str]:
        """The clients of which records are missing that were neither stored nor counted as lost."""
        return self._gaps.waiting

    def commit(self, batches: Sequence[Batch]) -> Outcome:
        """Store batches and the new marks of their clients in one transaction.

        Where that fails, each batch is tried alone, then each record: one that no transaction takes is
        rejected with the reason, and the rest goes on.

        Raises:
            StoreError: the engine is in trouble (a full disk, say); nothing of the batches is stored.
        """
        parts = [list(batches)]
        outcomes: list[Outcome] = []
        while parts:
            part = parts.pop()
            try:
                outcomes.append(self._commit(part))
            except Exception as error:  # whatever the engine refuses must not stop the stream
                self._is_stale = True
                if isinstance(error, StoreError) or self._is_fault(error):
                    raise StoreError(f"the store takes no records at present: {error}") from error
                _log.warning("a commit of %d batches failed, trying them apart: %s", len(part), error)
                if len(part) > 1:
                    parts += [[batch] for batch in reversed(part)]
                elif len(part[0].records) > 1:
                    parts += [[half] for half in reversed(_halves(part[0]))]
                else:
                    outcomes.append(self._reject(part[0], str(error)))
        return _merged(outcomes) if outcomes else Outcome(self._commit_id)

    def _reject(self, batch: Batch, reason: str) -> Outcome:
        try:
            return self._commit_rejected(batch, reason)
        except self._backend.faults as error:
            raise StoreError(f"the store takes no records at present: {error}") from error

    def reject_messages(self, messages: Sequence[tuple[bytes, str]]) -> Outcome:
        """Keep messages that are no batches, each with the reason.

        Raises:
            StoreError: the engine is in trouble.
        """
        rows = Rows(self._commit_id + 1)
        for payload, reason in messages:
            rows.reject(_NOBODY, 0, reason, payload)
        return self._write_alone(rows)

    def count_missing(self, clients: Collection[str], reason: str) -> Outcome:
        """Count as lost what is missing of clients that were seen to have emitted more than is stored.

        Their marks stay: what arrives after all is stored, and the count is taken back by one below zero.

        Raises:
            StoreError: the engine is in trouble.
        """
        rows = Rows(self._commit_id + 1)
        missing = list(self._gaps.count(clients, reason))
        if not missing:
            return Outcome(self._commit_id)
        rows.tables["lost"] += missing
        outcome = self._write_alone(rows)
        self._gaps.note_counted(missing)
        return outcome

    def _write_alone(self, rows: Rows) -> Outcome:
        try:
            return self._write(rows, {}, {}, 0)
        except self._backend.faults as error:
            raise StoreError(f"the store takes no records at present: {error}") from error

    def _commit_rejected(self, batch: Batch, reason: str) -> Outcome:
        self._refresh()
        rows = Rows(self._commit_id + 1)
        client = batch.header.client
        mark = _lose(batch.header, self.marks.get(client, 0), rows)
        if batch.header.first > mark + 1:  # it came too early, and comes again
            return Outcome(self._commit_id, {client: Ack(self.marks.get(client, 0), resend=True)})
        rows.note_shapes(batch)
        fresh = _fresh(batch, mark)
        for index in range(len(fresh.records)):
            mark = fresh.header.first + index
            rows.reject(batch.header, mark, reason, fresh.payload(index))
        return self._write(rows, {client: Ack(mark, resend=False)}, {client: batch.header}, 0)

    def _is_fault(self, error: BaseException | None) -> bool:
        """Whether an error, or what it came from, is the engine's trouble."""
        while error is not None:
            if isinstance(error, (StoreError, *self._backend.faults)):
                return True
            error = error.__cause__
        return False

    def _refresh(self) -> None:
        """Read anew what a rollback has made stale.

        Raises:
            StoreError: it cannot be read, which is no fault of the records that wait.
        """
        if self._is_stale:
            try:
                self._catalog.load()
            except Exception as error:
                raise StoreError(f"the store's datasets cannot be read at present: {error}") from error
            self._known.clear()
            self._is_stale = False

    def _commit(self, batches: Sequence[Batch]) -> Outcome:
        self._refresh()
        self._known.forget_old()
        rows = Rows(self._commit_id + 1)
        reading = Reading(rows, self._known)
        marks: dict[str, int] = {}
        ahead: dict[str, int] = {}  # where the farthest batch ends that came before what it follows
        headers: dict[str, Header] = {}
        for batch in batches:
            header, client = batch.header, batch.header.client
            headers[client] = header
            last = header.first + len(batch.records) - 1
            mark = marks[client] = _lose(header, marks.get(client, self.marks.get(client, 0)), rows)
            if header.first > mark + 1:
                ahead[client] = max(ahead.get(client, 0), last)
                continue
            rows.note_shapes(batch)
            reading.add(_fresh(batch, mark))
            marks[client] = max(mark, last)
        reading.finish()
        rows.tables["ingest_ahead"] += [
            (client, last, timestamp(now_us()))
            for client, last in ahead.items()
            if last > marks[client] and self._gaps.is_news(client, last)
        ]
        acks = {client: Ack(mark, resend=ahead.get(client, 0) > mark) for client, mark in marks.items()}
        return self._write(rows, acks, headers, reading.stored)

    def _write(self, rows: Rows, acks: dict[str, Ack], headers: dict[str, Header], stored: int) -> Outcome:
        commit_id = rows.commit_id
        committed_at = timestamp(now_us())
        moved = {client: ack.mark for client, ack in acks.items() if ack.mark > self.marks.get(client, 0)}
        ahead = rows.tables["ingest_ahead"]
        if (
            headers and not moved and not ahead
        ):  # sent again, too early again, or just to say that the client lives
            return Outcome(self._commit_id, acks)
        new_clients = [header for client, header in headers.items() if client not in self._clients]
        with self._backend.transaction():
            self._specify(rows)
            data = DatasetWriter(self._catalog, rows, commit_id).tables()
            for header in new_clients:
                host, pid, user = header.host, header.pid, header.user
                identity = (header.client, host, pid, user, header.trial, header.study, header.campaign)
                rows.tables["client"].append((*identity, committed_at))
            rows.tables["ingest_mark"] += [
                (client, mark, commit_id, committed_at) for client, mark in moved.items()
            ]
            rows.tables["lost"] += self._gaps.take_back(moved)
            self._backend.insert_all([*data, *rows.appended()])
            for closing in rows.closings:
                self._backend.execute(
                    _CLOSE_RUNS, (closing.status, closing.reason, closing.ended_at, closing.trial_id)
                )
        self._commit_id = commit_id
        self.marks.update(moved)
        self._gaps.note((client, last) for client, last, _ in ahead)
        self._gaps.note_moved(moved)
        self._clients.update(header.client for header in new_clients)
        lost = sum(row[2] for row in rows.tables["lost"])
        return Outcome(commit_id, acks, stored, rows.rejected, lost)

    def _specify(self, rows: Rows) -> None:
        def reject(reason: str, values: str) -> None:
            rows.tables["rejected"].append(("", 0, clean_text(reason), values, timestamp(now_us())))
            if len(rows.tables["rejected"]) >= _REJECTED_AT_ONCE:
                self._backend.insert("prov.rejected", rows.take_rejected())

        if rows.specifications:
            store_specifications(self._backend, self._catalog, rows.specifications, reject)


_NOBODY = Header("", 1, 1, "", 0, "", None, None, None)
_CLOSE_RUNS = """
    INSERT INTO prov.run_end (run_id, client_id, status, record_count, reason, ended_at)
    SELECT DISTINCT b.run_id, b.client_id, ?, NULL, ?, ? FROM prov.run_begin b
    WHERE b.trial_id = ? AND NOT EXISTS
        (SELECT 1 FROM prov.run_end e WHERE e.run_id = b.run_id AND e.client_id = b.client_id)"""


def _lose(header: Header, mark: int, rows: Rows) -> int:
    """Count what a client no longer has and the store never got; return the mark behind it."""
    if header.oldest <= mark + 1:
        return mark
    rows.lose(header, mark + 1, header.oldest - mark - 1, "the client's spool no longer has them")
    return header.oldest - 1


def _fresh(batch: Batch, mark: int) -> Batch:
    """Return the records behind the mark."""
    known = max(0, mark + 1 - batch.header.first)
    return batch.part(known) if known else batch


def _merged(outcomes: Sequence[Outcome]) -> Outcome:
    merged = Outcome(outcomes[-1].commit_id)
    for outcome in outcomes:
        merged.acks.update(outcome.acks)
        merged.records += outcome.records
        merged.rejected += outcome.rejected
        merged.lost += outcome.lost
    return merged


def _halves(batch: Batch) -> list[Batch]:
    middle = len(batch.records) // 2
    return [batch.part(0, middle), batch.part(middle)]
