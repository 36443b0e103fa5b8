"""The one writer of a store: commits batches exactly once, in order within each client."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from optiprov.errors import StoreError, WireError
from optiprov.records import now_us
from optiprov.store.backend import to_arrow
from optiprov.store.catalog import Catalog, Dataset
from optiprov.store.rows import DatasetRow, Rows, timestamp
from optiprov.store.schema import TABLES, migrate
from optiprov.store.specifying import lay_out_row, store_specifications
from optiprov.store.values import clean_text, convert, kind_of
from optiprov.wire import Batch, Header, decode_record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optiprov.store.backend import Backend, Kind

_log = logging.getLogger(__name__)


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
        self._is_catalog_stale = False  # after a rollback
        marks = backend.rows(
            "SELECT client_id, max(mark), max(commit_id) FROM prov.ingest_mark GROUP BY client_id"
        )
        self.marks: dict[str, int] = {client: mark for client, mark, _ in marks}
        self._commit_id: int = max((commit for _, _, commit in marks), default=0)
        self._clients: set[str] = {client for (client,) in backend.rows("SELECT client_id FROM prov.client")}

    @property
    def commit_id(self) -> int:
        """The number of the last commit."""
        return self._commit_id

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
            except self._backend.faults as error:
                self._is_catalog_stale = True
                raise StoreError(f"the store takes no records at present: {error}") from error
            except Exception as error:  # noqa: BLE001 - whatever the engine refuses must not stop the stream
                self._is_catalog_stale = True
                _log.warning("a commit of %d batches failed, trying them apart: %s", len(part), error)
                if len(part) > 1:
                    parts += [[batch] for batch in reversed(part)]
                elif len(part[0].records) > 1:
                    parts += [[half] for half in reversed(_halves(part[0]))]
                else:
                    outcomes.append(self._commit_rejected(part[0], str(error)))
        return _merged(outcomes) if outcomes else Outcome(self._commit_id)

    def reject_messages(self, messages: Sequence[tuple[bytes, str]]) -> Outcome:
        """Keep messages that are no batches, each with the reason.

        Raises:
            StoreError: the engine is in trouble.
        """
        rows = Rows()
        for payload, reason in messages:
            rows.reject(_NOBODY, 0, reason, payload)
        try:
            return self._write(rows, {}, {}, 0)
        except self._backend.faults as error:
            raise StoreError(f"the store takes no records at present: {error}") from error

    def _commit_rejected(self, batch: Batch, reason: str) -> Outcome:
        rows = Rows()
        client = batch.header.client
        mark = _lose(batch.header, self.marks.get(client, 0), rows)
        for sequence, payload in _fresh(batch, mark):
            rows.reject(batch.header, sequence, reason, payload)
            mark = sequence
        return self._write(rows, {client: Ack(mark, resend=False)}, {client: batch.header}, 0)

    def _commit(self, batches: Sequence[Batch]) -> Outcome:
        if self._is_catalog_stale:
            self._catalog.load()
            self._is_catalog_stale = False
        rows = Rows()
        marks: dict[str, int] = {}
        ahead: dict[str, int] = {}  # where the farthest batch ends that came before what it follows
        headers: dict[str, Header] = {}
        stored = 0
        for batch in batches:
            header, client = batch.header, batch.header.client
            headers[client] = header
            last = header.first + len(batch.records) - 1
            mark = marks[client] = _lose(header, marks.get(client, self.marks.get(client, 0)), rows)
            if header.first > mark + 1:
                ahead[client] = max(ahead.get(client, 0), last)
                continue
            for sequence, payload in _fresh(batch, mark):
                stored += self._add(rows, header, sequence, payload)
            marks[client] = max(mark, last)
        acks = {client: Ack(mark, resend=ahead.get(client, 0) > mark) for client, mark in marks.items()}
        return self._write(rows, acks, headers, stored)

    @staticmethod
    def _add(rows: Rows, header: Header, sequence: int, payload: bytes) -> int:
        try:
            rows.add(decode_record(payload), header, sequence)
        except (WireError, ValueError, OverflowError, TypeError) as error:
            rows.reject(header, sequence, str(error), payload)
            return 0
        return 1

    def _write(self, rows: Rows, acks: dict[str, Ack], headers: dict[str, Header], stored: int) -> Outcome:
        commit_id = self._commit_id + 1
        committed_at = timestamp(now_us())
        moved = {client: ack.mark for client, ack in acks.items() if ack.mark > self.marks.get(client, 0)}
        new_clients = [header for client, header in headers.items() if client not in self._clients]
        with self._backend.transaction():
            self._specify(rows)
            self._insert_datasets(rows, commit_id)
            for header in new_clients:
                host, pid, user = header.host, header.pid, header.user
                identity = (header.client, host, pid, user, header.trial, header.study, header.campaign)
                rows.tables["client"].append((*identity, committed_at))
            rows.tables["ingest_mark"] += [
                (client, mark, commit_id, committed_at) for client, mark in moved.items()
            ]
            for table, listed in rows.tables.items():
                self._insert(table, listed)
            for closing in rows.closings:
                self._backend.execute(
                    _CLOSE_RUNS, (closing.status, closing.reason, closing.ended_at, closing.trial_id)
                )
        self._commit_id = commit_id
        self.marks.update(moved)
        self._clients.update(header.client for header in new_clients)
        lost = sum(row[2] for row in rows.tables["lost"])
        return Outcome(commit_id, acks, stored, len(rows.tables["rejected"]), lost)

    def _insert(self, table: str, rows: list[tuple[Any, ...]]) -> None:
        if rows:
            columns = TABLES[table].items()
            values = zip(*rows, strict=True)
            self._backend.insert(
                f"prov.{table}",
                to_arrow(
                    {
                        name: (kind, _texts(kind, column))
                        for (name, kind), column in zip(columns, values, strict=True)
                    }
                ),
            )

    def _specify(self, rows: Rows) -> None:
        def reject(reason: str, value: Any) -> None:
            rows.tables["rejected"].append(
                ("", 0, clean_text(reason), clean_text(repr(value)), timestamp(now_us()))
            )

        if rows.specifications:
            store_specifications(self._backend, self._catalog, rows.specifications, reject)

    def _insert_datasets(self, rows: Rows, commit_id: int) -> None:
        """Type the values of data items and append them to their datasets' tables."""
        by_dataset: dict[int, tuple[Dataset, list[_TypedRow]]] = {}
        for ordinal, row in enumerate(rows.dataset_rows):
            dataset = self._catalog.dataset(row.dataflow, row.dataset)
            self._catalog.use(dataset, row.transformation, row.role, is_reference=row.attributes is None)
            if row.attributes is None:
                continue
            rows.tables["item"].append((row.item, row.item_id, dataset.key, row.run_id))
            values = lay_out_row(dataset, row, rows)
            for name, value in values.items():
                kind = kind_of(value)
                if kind is not None:
                    self._catalog.attribute(dataset, name, kind)
            by_dataset.setdefault(dataset.key, (dataset, []))[1].append((ordinal, row, values))
        self._catalog.refresh_views()
        for dataset, listed in by_dataset.values():
            self._insert_dataset(rows, dataset, listed, commit_id)

    def _insert_dataset(self, rows: Rows, dataset: Dataset, listed: list[_TypedRow], commit_id: int) -> None:
        columns: dict[str, tuple[Kind, list[Any]]] = {
            name: (kind, []) for name, kind in dataset.fixed_columns.items()
        }
        columns |= {attribute.column: (attribute.kind, []) for attribute in dataset.attributes.values()}
        for ordinal, row, values in listed:
            fixed = (row.item, row.run_id, row.task, row.transformation, commit_id, ordinal)
            for name, value in zip(dataset.fixed_columns, fixed, strict=True):
                columns[name][1].append(value)
            for attribute in dataset.attributes.values():
                value = values.get(attribute.name)
                try:
                    converted = convert(value, attribute.kind)
                except ValueError as error:
                    converted = None
                    rows.tables["rejected"].append(_mistyped(row, dataset, attribute.name, value, str(error)))
                columns[attribute.column][1].append(converted)
        self._backend.insert(dataset.table, to_arrow(columns))


_TypedRow = tuple[int, DatasetRow, dict[str, Any]]  # its place in the commit, the row, its values by name
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


def _fresh(batch: Batch, mark: int) -> list[tuple[int, bytes]]:
    """Return the records behind the mark, with their numbers."""
    numbered = enumerate(batch.records, batch.header.first)
    return [(sequence, payload) for sequence, payload in numbered if sequence > mark]


def _merged(outcomes: Sequence[Outcome]) -> Outcome:
    merged = Outcome(outcomes[-1].commit_id)
    for outcome in outcomes:
        merged.acks.update(outcome.acks)
        merged.records += outcome.records
        merged.rejected += outcome.rejected
        merged.lost += outcome.lost
    return merged


def _texts(kind: Kind, column: Sequence[Any]) -> list[Any]:
    if kind in ("text", "json"):
        return [None if value is None else clean_text(value) for value in column]
    return list(column)


def _mistyped(row: DatasetRow, dataset: Dataset, attribute: str, value: Any, reason: str) -> tuple[Any, ...]:
    where = f"{dataset.name}.{attribute} of a task of {row.transformation} in run {row.run_id}: {reason}"
    client, sequence = row.source
    return (client, sequence, clean_text(where), clean_text(repr(value)), timestamp(now_us()))


def _halves(batch: Batch) -> list[Batch]:
    middle = len(batch.records) // 2
    second = batch.header._replace(first=batch.header.first + middle)
    return [Batch(batch.header, batch.records[:middle]), Batch(second, batch.records[middle:])]
