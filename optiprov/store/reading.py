"""Reads the records of a commit: rows of a shape as columns, other records one by one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from optiprov.errors import WireError
from optiprov.records import TaskBegin, TaskEnd, read_dependency
from optiprov.store.columns import Group, Unfit, edge_rows, task_columns
from optiprov.store.rows import check_event
from optiprov.wire import END, expand, parse_records, read_record

if TYPE_CHECKING:
    from optiprov.records import Record
    from optiprov.store.columns import TaskColumns
    from optiprov.store.known import Event, KnownTasks
    from optiprov.store.rows import Rows
    from optiprov.wire import Batch, Header


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

    def add(self, batch: Batch, first: int, payloads: list[bytes]) -> None:
        """Add records of a batch, of which the first has the given number."""
        place = self._place
        self._place += len(payloads)
        parsed = parse_records(payloads)
        by_number: dict[int | None, list[int]] = {}
        for index, row in enumerate(parsed):
            is_row = type(row) is list and row and type(row[0]) is int
            by_number.setdefault(row[0] if is_row else None, []).append(index)
        for number, indexes in by_number.items():
            group = None if number is None else self._group(batch, number)
            if group is not None:
                group.rows += [parsed[index] for index in indexes]
                group.sequences += [first + index for index in indexes]
                group.places += [place + index for index in indexes]
                continue
            for index in indexes:
                self._add_record(parsed[index], batch.header, first + index, place + index, payloads[index])

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

    def _group(self, batch: Batch, number: int) -> Group | None:
        shape = batch.shapes.get(number)
        if shape is None:
            return None
        key = (batch.header.client, number)
        group = self._groups.get(key)
        if group is not None and group.shape != shape:  # no client of ours gives a number twice
            return None
        if group is None:
            group = self._groups[key] = Group(batch.header, shape)
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
        self.stored += len(group.rows)

    def _add_singly(self, group: Group) -> None:
        for row, sequence, place in zip(group.rows, group.sequences, group.places, strict=True):
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
