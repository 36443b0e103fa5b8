"""Appends data items to the typed tables of their datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from optiprov.records import now_us
from optiprov.store.backend import ARROW_TYPES, to_arrow
from optiprov.store.columns import fixed_columns, item_rows, typed_values
from optiprov.store.groups import Unfit
from optiprov.store.rejection import values_text
from optiprov.store.rows import timestamp
from optiprov.store.specifying import lay_out_row
from optiprov.store.values import clean_text, convert, kind_of, widen

if TYPE_CHECKING:
    from optiprov.store.backend import Kind
    from optiprov.store.catalog import Catalog, Dataset
    from optiprov.store.items import DatasetRow, ItemColumns
    from optiprov.store.rows import Rows

_TypedRow = tuple["DatasetRow", dict[str, Any]]  # a row, and its values by name


class DatasetWriter:
    """Types the values of a commit's data items, and appends them to their datasets' tables.

    Args:
        catalog: the datasets; it changes as new ones, new attributes and wider types come.
        rows: the commit; its `rejected` and `item` rows are added to.
        commit_id: the number of the commit.
    """

    def __init__(self, catalog: Catalog, rows: Rows, commit_id: int) -> None:
        self._catalog = catalog
        self._rows = rows
        self._commit_id = commit_id
        self._columns: list[tuple[Dataset, ItemColumns, dict[str, tuple[Kind | None, pa.Array]]]] = []
        self._single: dict[int, tuple[Dataset, list[_TypedRow]]] = {}

    def tables(self) -> list[tuple[str, pa.Table]]:
        """Return what to append to which table; the catalog has the columns for it."""
        for items in self._rows.item_columns:
            self._take_columns(items)
        for row in self._rows.dataset_rows:
            self._take_row(row)
        self._catalog.refresh_views()
        by_table: dict[str, list[pa.Table]] = {}
        for dataset, items, values in self._columns:
            by_table.setdefault("prov.item", []).append(item_rows(items, dataset.key))
            by_table.setdefault(dataset.table, []).append(self._table(dataset, items, values))
        for dataset, listed in self._single.values():
            by_table.setdefault(dataset.table, []).append(self._table_of_rows(dataset, listed))
        return [
            (table, pa.concat_tables(parts, promote_options="default")) for table, parts in by_table.items()
        ]

    def _take_columns(self, items: ItemColumns) -> None:
        """Take items as columns, or one by one where their values are not of the kinds of the columns."""
        dataset = self._catalog.dataset(items.dataflow, items.dataset)
        self._catalog.use(dataset, items.transformation, items.role, is_reference=False)
        try:
            values = {clean_text(name): typed_values(column) for name, column in items.values.items()}
        except Unfit:
            values = {}
        kinds = {name: kind for name, (kind, _) in values.items()}
        if (
            len(kinds) < len(items.values)
            or not _are_as_specified(dataset, kinds)
            or not _fit(dataset, kinds)
        ):
            self._rows.dataset_rows += items.to_rows()
            return
        for name, (kind, _) in values.items():
            if kind is not None:
                self._catalog.attribute(dataset, name, kind)
        self._columns.append((dataset, items, values))

    def _table(
        self, dataset: Dataset, items: ItemColumns, values: dict[str, tuple[Kind | None, pa.Array]]
    ) -> pa.Table:
        columns = fixed_columns(items, self._commit_id)
        for name, (kind, array) in values.items():
            if kind is not None:
                attribute = dataset.attributes[name]
                columns[attribute.column] = array.cast(ARROW_TYPES[attribute.kind], safe=False)
        return pa.table(columns)

    def _take_row(self, row: DatasetRow) -> None:
        dataset = self._catalog.dataset(row.dataflow, row.dataset)
        self._catalog.use(dataset, row.transformation, row.role, is_reference=row.attributes is None)
        if row.attributes is None:
            return
        self._rows.tables["item"].append((row.item, row.item_id, dataset.key, row.run_id))
        values = lay_out_row(dataset, row, self._rows)
        for name, value in values.items():
            kind = kind_of(value)
            if kind is not None:
                self._catalog.attribute(dataset, name, kind)
        self._single.setdefault(dataset.key, (dataset, []))[1].append((row, values))

    def _table_of_rows(self, dataset: Dataset, listed: list[_TypedRow]) -> pa.Table:
        columns: dict[str, tuple[Kind, list[Any]]] = {
            name: (kind, []) for name, kind in dataset.fixed_columns.items()
        }
        columns |= {attribute.column: (attribute.kind, []) for attribute in dataset.attributes.values()}
        for row, values in listed:
            fixed = (
                row.item,
                clean_text(row.run_id),
                row.task,
                row.transformation,
                self._commit_id,
                row.ordinal,
            )
            for name, value in zip(dataset.fixed_columns, fixed, strict=True):
                columns[name][1].append(value)
            for attribute in dataset.attributes.values():
                value = values.get(attribute.name)
                try:
                    converted = convert(value, attribute.kind)
                except ValueError as error:
                    converted = None
                    rejected = _mistyped(row, dataset, attribute.name, value, str(error))
                    self._rows.tables["rejected"].append(rejected)
                columns[attribute.column][1].append(converted)
        return to_arrow(columns)


def _are_as_specified(dataset: Dataset, kinds: dict[str, Kind | None]) -> bool:
    """Whether nothing is to be laid on a specification's attributes, or read as a number or a file."""
    return all(
        name in dataset.known_names
        and dataset.specified.get(name) != "FILE"
        and not (dataset.specified.get(name) == "NUMERIC" and kind == "text")
        for name, kind in (kinds.items() if dataset.specified else ())
    )


def _fit(dataset: Dataset, kinds: dict[str, Kind | None]) -> bool:
    """Whether values of these kinds go into the attributes' columns as they are, or once these are wider."""
    for name, kind in kinds.items():
        known = dataset.attributes.get(name)
        if known is not None and kind not in (None, known.kind):
            wider = widen(known.kind, kind)
            if wider == known.kind and widen(kind, known.kind) != known.kind:
                return False
    return True


def _mistyped(row: DatasetRow, dataset: Dataset, attribute: str, value: Any, reason: str) -> tuple[Any, ...]:
    whose = f"task {row.task_id} of {row.transformation} in run {row.run_id}"
    where = f"{dataset.name}.{attribute} of {whose}: {reason}"
    return (*row.source, clean_text(where), values_text(row, {attribute: value}), timestamp(now_us()))
