"""Turns records into rows of the store's tables."""

from __future__ import annotations

import datetime
import json
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from optiprov import records
from optiprov.store.backend import to_arrow
from optiprov.store.items import DatasetRow, ItemColumns, arrival, ordinal
from optiprov.store.observed import environment_rows, telemetry_rows
from optiprov.store.rejection import record_text
from optiprov.store.schema import TABLES
from optiprov.store.specification import DataflowSpecification
from optiprov.store.values import clean_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from optiprov.store.backend import Kind
    from optiprov.wire import Batch, Header, Shape

_EPOCH = datetime.datetime(1970, 1, 1)  # noqa: DTZ001 - the store's timestamps are UTC without a zone


@dataclass(frozen=True)
class TrialClosing:
    """A trial whose processes have ended: its open runs end with this status."""

    trial_id: str
    status: str
    reason: str | None
    ended_at: datetime.datetime


class Rows:
    """The rows that a commit appends, by table.

    Args:
        commit_id: the number of the commit.
    """

    def __init__(self, commit_id: int) -> None:
        self.commit_id = commit_id
        self.tables: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        self.dataset_rows: list[DatasetRow] = []
        self.item_columns: list[ItemColumns] = []
        self.closings: list[TrialClosing] = []
        self._columns: dict[str, list[pa.Table]] = defaultdict(list)
        self._shapes: dict[str, dict[int, Shape]] = defaultdict(dict)
        self.rejected_before = 0  # that has been taken
        self.place = 0  # of the record that is being added
        self.specifications: list[DataflowSpecification] = []

    def add(self, record: records.Record, header: Header, sequence: int, place: int) -> None:
        """Add the rows of one record.

        Args:
            record: the record.
            header: says who sent it.
            sequence: its number.
            place: its place in the commit.

        Raises:
            ValueError, OverflowError: a value that no column takes, such as a time beyond the calendar.
        """
        self.place = place
        _ADD[type(record)](self, record, header, sequence)

    def add_columns(self, table: str, rows: pa.Table) -> None:
        """Add rows of a table that are columns already."""
        self._columns[table].append(rows)

    def appended(self) -> Iterator[tuple[str, pa.Table]]:
        """Yield what the commit appends to which of the tables in `prov`."""
        for table in TABLES:
            parts = self._columns[table]
            if self.tables[table]:
                parts.append(self._typed(table))
            if parts:
                yield f"prov.{table}", pa.concat_tables(parts, promote_options="default")

    def take_rejected(self) -> pa.Table:
        """Return what has been rejected so far, one row at least, and keep no more than its count."""
        taken = self._typed("rejected")
        self.rejected_before += len(self.tables.pop("rejected"))
        return taken

    @property
    def rejected(self) -> int:
        """How much has been rejected."""
        return self.rejected_before + len(self.tables["rejected"])

    def _typed(self, table: str) -> pa.Table:
        columns = zip(TABLES[table].items(), zip(*self.tables[table], strict=True), strict=True)
        return to_arrow({name: (kind, _cleaned(kind, column)) for (name, kind), column in columns})

    def note_shapes(self, batch: Batch) -> None:
        """Note the shapes of a batch, by which its rows are named should they be rejected."""
        self._shapes[batch.header.client] |= batch.shapes

    def reject(self, header: Header, sequence: int, reason: str, payload: bytes) -> None:
        """Keep what cannot be stored, with the reason."""
        text = record_text(payload, header.client, self._shapes[header.client])
        self.tables["rejected"].append((header.client, sequence, clean_text(reason), text, _now()))

    def lose(self, header: Header, first: int, count: int, reason: str) -> None:
        """Count records that will never arrive."""
        self.tables["lost"].append((header.client, first, count, reason, _now()))


def _cleaned(kind: Kind, column: Sequence[Any]) -> list[Any]:
    if kind in ("text", "json"):
        return [None if value is None else clean_text(value) for value in column]
    return list(column)


def _run_begin(rows: Rows, record: records.RunBegin, header: Header, _sequence: int) -> None:
    rows.tables["run_begin"].append(
        (
            record.run_id,
            record.dataflow,
            header.client,
            header.trial,
            header.study,
            record.campaign or header.campaign,
            record.agent or header.user,
            header.host,
            header.pid,
            timestamp(record.started_us),
            arrival(rows.commit_id, rows.place),
        )
    )


def _run_end(rows: Rows, record: records.RunEnd, header: Header, _sequence: int) -> None:
    ended_at = timestamp(record.ended_us)
    row = (record.run_id, header.client, _end(record.status), record.record_count, None, ended_at)
    rows.tables["run_end"].append(row)


def _task_begin(rows: Rows, record: records.TaskBegin, header: Header, sequence: int) -> None:
    task = records.task_key(record.run_id, record.transformation, record.task_id)
    rows.tables["task_begin"].append(
        (
            task,
            record.task_id,
            record.run_id,
            record.dataflow,
            record.transformation,
            header.client,
            record.host or header.host,
            record.agent or header.user,
            timestamp(record.started_us),
            arrival(rows.commit_id, rows.place),
        )
    )
    rows.tables["dependency_given"] += [
        (task, record.run_id, *records.read_dependency(other)) for other in record.dependencies
    ]
    _items(rows, record, "used", record.used, (header.client, sequence))


def _task_end(rows: Rows, record: records.TaskEnd, header: Header, sequence: int) -> None:
    rows.tables["task_end"].append(
        (
            records.task_key(record.run_id, record.transformation, record.task_id),
            record.task_id,
            record.run_id,
            record.dataflow,
            record.transformation,
            _end(record.status),
            record.error,
            timestamp(record.ended_us),
        )
    )
    _items(rows, record, "generated", record.generated, (header.client, sequence))


def _items(
    rows: Rows,
    record: records.TaskBegin | records.TaskEnd | records.TaskData,
    role: str,
    items: list[records.Item],
    source: tuple[str, int],
) -> None:
    task = records.task_key(record.run_id, record.transformation, record.task_id)
    for index, item in enumerate(items):
        key = records.item_key(item.item_id)
        rows.tables[role].append((task, key))
        sources = dict.fromkeys(map(str, item.derived_from))
        rows.tables["derivation"] += [(key, records.item_key(source)) for source in sources]
        if item.file is not None:
            rows.tables["file"].append(_file(key, item.file))
        if item.attributes is None and not item.dataset:
            continue  # a reference by id alone
        rows.dataset_rows.append(
            DatasetRow(
                clean_text(item.dataflow or record.dataflow),
                clean_text(item.dataset or "unnamed"),
                key,
                item.item_id,
                record.run_id,
                task,
                clean_text(record.transformation),
                role,
                item.attributes,
                source,
                record.task_id,
                ordinal(rows.place, index),
            )
        )


def _task_data(rows: Rows, record: records.TaskData, header: Header, sequence: int) -> None:
    if record.role not in ("used", "generated"):
        raise ValueError(f"a task's data is used or generated, got the role {record.role[:80]!r}")
    item = records.Item(
        record.item_id, record.dataset, record.dataflow, record.derived_from, record.attributes, None
    )
    _items(rows, record, record.role, [item], (header.client, sequence))


def _specification(rows: Rows, record: records.Specification, header: Header, _sequence: int) -> None:
    specified_at = timestamp(record.specified_us)
    rows.specifications.append(DataflowSpecification.read(record, header.client, specified_at))


def _study_begin(rows: Rows, record: records.StudyBegin, _header: Header, _sequence: int) -> None:
    space, settings = json.dumps(record.space), json.dumps(record.settings)
    started_at = timestamp(record.started_us)
    row = (record.study, record.campaign, record.metric, record.mode, space, settings, started_at)
    rows.tables["study_begin"].append(row)


def _study_end(rows: Rows, record: records.StudyEnd, _header: Header, _sequence: int) -> None:
    row = (record.study, _end(record.status), record.reason, timestamp(record.ended_us))
    rows.tables["study_end"].append(row)


def _trial_begin(rows: Rows, record: records.TrialBegin, _header: Header, _sequence: int) -> None:
    row = (record.study, record.trial, json.dumps(record.config), timestamp(record.started_us))
    rows.tables["trial_begin"].append(row)


def _trial_report(rows: Rows, record: records.TrialReport, _header: Header, _sequence: int) -> None:
    row = (record.study, record.trial, record.step, record.value, timestamp(record.reported_us))
    rows.tables["trial_report"].append(row)


def _trial_end(rows: Rows, record: records.TrialEnd, _header: Header, _sequence: int) -> None:
    rows.tables["trial_end"].append(
        (
            record.study,
            record.trial,
            _end(record.status),
            record.value,
            json.dumps(record.metrics),
            record.reason,
            timestamp(record.ended_us),
        )
    )


def _trial_close(rows: Rows, record: records.TrialClose, _header: Header, _sequence: int) -> None:
    ended_at = timestamp(record.ended_us)
    reason = None if record.reason is None else clean_text(record.reason)
    rows.closings.append(TrialClosing(clean_text(record.trial), _end(record.status), reason, ended_at))


def _annotation(rows: Rows, record: records.Annotation, _header: Header, _sequence: int) -> None:
    rows.tables["annotation"].append(
        (
            record.target_kind,
            record.target,
            record.namespace,
            record.key,
            json.dumps(record.value),
            record.agent,
            timestamp(record.annotated_us),
        )
    )


def _telemetry(rows: Rows, record: records.Telemetry, header: Header, _sequence: int) -> None:
    task = records.task_key(record.run_id, record.transformation, record.task_id)
    rows.tables["telemetry"] += telemetry_rows(record, task, header, timestamp(record.sampled_us))


def _environment(rows: Rows, record: records.Environment, header: Header, _sequence: int) -> None:
    for table, listed in environment_rows(record, header, timestamp(record.captured_us)).items():
        rows.tables[table] += listed


def _lost(rows: Rows, record: records.Lost, header: Header, sequence: int) -> None:
    rows.lose(header, sequence, record.record_count, record.reason)


_ADD: dict[type, Callable[[Rows, Any, Header, int], None]] = {
    records.RunBegin: _run_begin,
    records.RunEnd: _run_end,
    records.TaskBegin: _task_begin,
    records.TaskEnd: _task_end,
    records.TaskData: _task_data,
    records.Specification: _specification,
    records.StudyBegin: _study_begin,
    records.StudyEnd: _study_end,
    records.TrialBegin: _trial_begin,
    records.TrialReport: _trial_report,
    records.TrialEnd: _trial_end,
    records.TrialClose: _trial_close,
    records.Annotation: _annotation,
    records.Telemetry: _telemetry,
    records.Environment: _environment,
    records.Lost: _lost,
}


def check_event(record: records.TaskBegin | records.TaskEnd) -> None:
    """Check what the rows of a task's begin or end are made of.

    Raises:
        ValueError, OverflowError: its status or its time is none.
    """
    if isinstance(record, records.TaskBegin):
        timestamp(record.started_us)
    else:
        timestamp(record.ended_us)
        _end(record.status)


def timestamp(microseconds: int) -> datetime.datetime:
    """Return a UTC timestamp for microseconds since the epoch.

    Raises:
        OverflowError: the time is beyond the calendar.
    """
    return _EPOCH + datetime.timedelta(microseconds=microseconds)


def _now() -> datetime.datetime:
    return timestamp(records.now_us())


def _end(status: str) -> str:
    if status not in records.Status.ENDS:
        raise ValueError(f"a status at the end is one of {', '.join(records.Status.ENDS)}, got {status!r}")
    return status


def _file(item: int, file: dict[str, Any]) -> tuple[Any, ...]:
    modified_us = file.get("modified_us")
    modified_at = None if modified_us is None else timestamp(modified_us)
    return (item, file.get("path"), file.get("role"), file.get("size_bytes"), modified_at)
