"""Stores specifications of dataflows: a new version where they say something new, and nothing where not."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

from optiprov.store.backend import to_arrow
from optiprov.store.layout import lay_out
from optiprov.store.rejection import values_text
from optiprov.store.relaying import relay
from optiprov.store.schema import TABLES
from optiprov.store.values import clean_text, convert, unwrap

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from optiprov.store.backend import Backend
    from optiprov.store.catalog import Catalog, Dataset
    from optiprov.store.items import DatasetRow
    from optiprov.store.rows import Rows
    from optiprov.store.specification import DataflowSpecification


def store_specifications(
    backend: Backend,
    catalog: Catalog,
    specifications: Sequence[DataflowSpecification],
    reject: Callable[[str, str], None],
) -> None:
    """Store specifications, in the caller's transaction, before the rows of the same commit.

    The attributes that are new get columns. Values that came before their specification are laid on it.

    Args:
        backend: the open database.
        catalog: its datasets.
        specifications: in the order they arrived.
        reject: told the reason and the values of an item that came before and does not fit.
    """
    changed: dict[int, tuple[Dataset, bool]] = {}
    for one in specifications:
        if catalog.specify_dataflow(one.dataflow, one.text):
            _store(backend, one, catalog.dataflow_version(one.dataflow))
        for name, attributes in one.attributes.items():
            dataset = catalog.dataset(one.dataflow, name)
            was_unspecified = not dataset.version
            if catalog.specify(dataset, attributes, one.specified_at):
                _, is_first = changed.get(dataset.key, (dataset, was_unspecified))
                changed[dataset.key] = (dataset, is_first)
        for transformation in one.transformations:
            for role, name, _ in transformation.datasets:
                dataset = catalog.dataset(one.dataflow, name)
                catalog.use(dataset, transformation.name, role, is_reference=False)
    for dataset, is_first in changed.values():
        relay(backend, catalog, dataset, reject, is_first=is_first)
        for name, kind in dataset.specified.items():
            if name not in dataset.attributes:
                catalog.attribute(dataset, name, "integer" if kind == "NUMERIC" else "text")
            if kind == "FILE":
                _store_files(backend, dataset, name)


def lay_out_row(dataset: Dataset, row: DatasetRow, rows: Rows) -> dict[str, Any]:
    """Return a data item's values by attribute, and note the files among them.

    Values that cannot be laid on the attributes are rejected, with a reason that names the task; the item is
    stored without them.
    """
    given = {clean_text(name): value for name, value in (row.attributes or {}).items()}
    try:
        laid = lay_out(dataset, given)
    except ValueError as error:
        where = f"{dataset.name} of task {row.task_id} of {row.transformation} in run {row.run_id}"
        rejected = (*row.source, clean_text(f"{where}: {error}"), values_text(row, given))
        rows.tables["rejected"].append((*rejected, _now()))
        return {}
    values = {name: unwrap(value) for name, value in laid.items()}
    for name, kind in dataset.specified.items():
        if kind == "FILE" and values.get(name) is not None:
            rows.tables["file"].append((row.item, convert(values[name], "text"), name, None, None))
    return values


def _store(backend: Backend, one: DataflowSpecification, version: int) -> None:
    """Append a version of a dataflow."""
    key = (one.dataflow, version)
    tables: dict[str, list[tuple[Any, ...]]] = {
        "dataflow": [(*key, one.text, one.client, one.specified_at)],
        "transformation": [
            (*key, position, transformation.name)
            for position, transformation in enumerate(one.transformations, 1)
        ],
        "transformation_dataset": [
            (*key, transformation.name, role, position, dataset, source)
            for transformation in one.transformations
            for position, (role, dataset, source) in enumerate(transformation.datasets, 1)
        ],
        "program": [
            (*key, transformation.name, *program)
            for transformation in one.transformations
            for program in transformation.programs
        ],
    }
    for table, rows in tables.items():
        if rows:
            columns = zip(TABLES[table].items(), zip(*rows, strict=True), strict=True)
            values = {name: (kind, list(column)) for (name, kind), column in columns}
            backend.insert(f"prov.{table}", to_arrow(values))


def _store_files(backend: Backend, dataset: Dataset, name: str) -> None:
    """Make the paths that came before the specification known as files."""
    column = dataset.attributes[name].column
    backend.execute(
        f"INSERT INTO prov.file (item, path, role) SELECT d.item, d.{column}, ? FROM {dataset.table} d"
        f" WHERE d.{column} IS NOT NULL"
        " AND NOT EXISTS (SELECT 1 FROM prov.file f WHERE f.item = d.item AND f.role = ?)",
        (name, name),
    )


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
