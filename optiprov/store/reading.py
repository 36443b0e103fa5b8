"""Reads the records of a commit: rows of a shape as columns, other records one by one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from optiprov.errors import WireError
from optiprov.records import TaskBegin, TaskEnd, read_dependency
from optiprov.store.columns import edge_rows, task_columns
from optiprov.store.groups import Group, ListedGroup, PackedGroup, Unfit
from optiprov.store.rows import check_event
from optiprov.wire import END, WORDS, expand, parse_records, read_record
from optiprov.wire.slots import is_packed

if TYPE_CHECKING:
    from optiprov.records import Record
    from optiprov.store.columns import TaskColumns
    from optiprov.store.known import Event, KnownTasks
    from optiprov.store.rows import Rows
    from optiprov.wire import Batch, Header

_AnyGroup = TypeVar("_AnyGroup", bound=Group)


class Reading:
    """The reading of one commit's batches.

    What is no record is rejected with the reason, and so is a begin or an end of a task that has begun or
    ended already: the first one counts.

    Args:
        rows: where the records' rows go.
        known: the tasks' begins and ends so far.
    """

    def __init__(self, rows: Rows, known: KnownTasks) -> None:
        self.stored = 0
        self._rows = rows
        self._known = known
        self._groups: dict[tuple[str, int], Group] = {}
        self._place = 0

    def add(self, batch: Batch) -> None:
        """Add the records of a batch."""
        place = self._place
        self._place += len(batch.records)
        if batch.slots:
            self._add_packed(batch, place)
        indexes = [index for index, payload in enumerate(batch.records) if payload is not None]
        payloads = [payload for payload in batch.records if payload is not None]
        first = batch.header.first
        for index, row, payload in zip(indexes, parse_records(payloads), payloads, strict=True):
            group = self._listed_group(batch, row)
            if group is None:
                self._add_record(row, batch.header, first + index, place + index, payload)
            else:
                group.add(row, first + index, place + index)

    def _add_packed(self, batch: Batch, place: int) -> None:
        words = np.frombuffer(batch.slots, np.int64).reshape(-1, WORDS)
        markers = words[:, -1]
        for marker in np.unique(markers).tolist():
            if not is_packed(marker):
                continue
            indexes = np.flatnonzero(markers == marker)
            group = self._group(batch, marker, PackedGroup)
            if group is not None:
                group.add(words[indexes], batch.header.first + indexes, place + indexes)
                continue
            for index in indexes.tolist():
                reason = f"a packed row refers to the shape {marker}, which its batch does not have"
                self._rows.reject(batch.header, batch.header.first + index, reason, batch.payload(index))

    def finish(self) -> None:
        """Turn the rows of shapes into columns."""
        for group in self._groups.values():
            try:
                columns = task_columns(group, self._rows.commit_id)
            except Unfit:
                self._add_singly(group)
                continue
            if self._known.add_numbers(*_event(group), columns.numbers):
                self._add_columns(group, columns)
            else:
                self._add_singly(group)

    def _listed_group(self, batch: Batch, row: Any) -> ListedGroup | None:
        if type(row) is not list or not row or type(row[0]) is not int:
            return None
        return self._group(batch, row[0], ListedGroup)

    def _group(self, batch: Batch, number: int, kind: type[_AnyGroup]) -> _AnyGroup | None:
        """Return the group of a client's rows of a shape; None where the shape is not of such rows."""
        shape = batch.shapes.get(number)
        if shape is None or (shape.codes is not None) != (kind is PackedGroup):
            return None
        key = (batch.header.client, number)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = kind(batch.header, shape)
        if group.shape != shape or not isinstance(group, kind):  # no client of ours gives a number twice
            return None
        return group

    def _add_columns(self, group: Group, columns: TaskColumns) -> None:
        rows, shape = self._rows, group.shape
        rows.add_columns("task_end" if shape.kind == END else "task_begin", columns.events)
        for index, ids in columns.dependencies:
            task = int(columns.key[index])
            rows.tables["dependency_given"] += [(task, shape.run_id, *read_dependency(one)) for one in ids]
        for items in columns.items:
            rows.add_columns(items.role, edge_rows(items))
        rows.item_columns += columns.items
        self.stored += len(columns.numbers)

    def _add_singly(self, group: Group) -> None:
        places = group.places.tolist()
        for row, sequence, place in zip(group.rows(), group.sequences, places, strict=True):
            payload = json.dumps(row).encode("ascii")
            try:
                record = expand(group.shape, row, group.header.client)
                self._add(record, group.header, sequence, place)
            except (WireError, ValueError, OverflowError, TypeError) as error:
                self._rows.reject(group.header, sequence, str(error), payload)

    def _add_record(self, row: Any, header: Header, sequence: int, place: int, payload: bytes) -> None:
        try:
            self._add(read_record(row), header, sequence, place)
        except (WireError, ValueError, OverflowError, TypeError) as error:
            self._rows.reject(header, sequence, str(error), payload)

    def _add(self, record: Record, header: Header, sequence: int, place: int) -> None:
        if isinstance(record, TaskBegin | TaskEnd):
            event: Event = "begin" if isinstance(record, TaskBegin) else "end"
            check_event(record)  # before it is noted: what is rejected has not happened
            if not self._known.add(event, record.run_id, record.transformation, record.task_id):
                verb = "begun" if event == "begin" else "ended"
                raise WireError(
                    f"task {record.task_id} of {record.transformation} in run {record.run_id}"
                    f" has {verb} already"
                )
        self._rows.add(record, header, sequence, place)
        self.stored += 1


def _event(group: Group) -> tuple[Event, str, str]:
    shape = group.shape
    return ("end" if shape.kind == END else "begin"), shape.run_id, shape.transformation
