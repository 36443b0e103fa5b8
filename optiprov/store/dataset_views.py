"""The views by which users ask for datasets: what they are called, and what they show."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from optiprov.store.backend import quote_name, quote_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from optiprov.store.catalog import Dataset

BARE_SCHEMA = "main"
_RESERVED_SCHEMAS = {
    *("prov", "dataset", "main", "sys", "tmp", "pg_catalog", "information_schema"),
    *("_store", "memory", "system", "temp", "pg_temp"),  # names of databases in DuckDB
}


class DatasetView(NamedTuple):
    """A view of a dataset.

    Attributes:
        schema: Its schema: the dataflow's, or `BARE_SCHEMA`.
        name: Its name there.
        query: What it shows.
    """

    schema: str
    name: str
    query: str


def dataset_views(datasets: Collection[Dataset]) -> Iterator[DatasetView]:
    """Yield all views of these datasets: in the schemas of dataflows, and bare where that is unambiguous."""
    for dataset in datasets:
        schema = schema_of(dataset.dataflow)
        alike = alike_named(datasets, dataset.name)
        beside = [one for one in alike if schema_of(one.dataflow).lower() == schema.lower()]
        query = view_query(dataset)
        yield DatasetView(schema, view_name(dataset, beside), query)
        if len(alike) == 1:
            yield DatasetView(BARE_SCHEMA, dataset.name, query)


def alike_named(datasets: Collection[Dataset], name: str) -> list[Dataset]:
    """Return the datasets whose names engines, blind to case, take for this one."""
    return [one for one in datasets if one.name.lower() == name.lower()]


def schema_of(dataflow: str) -> str:
    """Return the schema that has the views of a dataflow."""
    name = dataflow or "no_dataflow"
    return f"dataflow_{name}" if name.lower() in _RESERVED_SCHEMAS else name


def view_name(dataset: Dataset, alike: list[Dataset]) -> str:
    """Return the name of a dataset's view in its schema, numbered where engines, blind to case, mix it up."""
    number = 1 + sum(one.key < dataset.key for one in alike)
    return dataset.name if number == 1 else f"{dataset.name}_{number}"


def view_query(dataset: Dataset) -> str:
    """Return the query of a dataset's view: `<transformation>_task_id`s, attributes, run_id and item.

    A row is an item. Where several tasks of a transformation use it, the column has the one that began first;
    all of them are in prov.used.
    """
    columns: dict[str, str] = {}
    joins = []
    for number, transformation in enumerate(sorted({use[0] for use in dataset.uses})):
        name = quote_text(transformation)
        task = f"CASE WHEN d.transformation = {name} THEN d.task END"
        references = sorted(
            role for other, role, is_reference in dataset.uses if is_reference and other == transformation
        )
        if references:
            edges = " UNION ".join(f"SELECT item, task FROM prov.{role}" for role in references)
            joins.append(
                " LEFT JOIN (SELECT e.item, e.task,"
                " row_number() OVER (PARTITION BY e.item ORDER BY t.started_at, e.task) AS place"
                f" FROM ({edges}) e JOIN prov.task_begin t ON t.task = e.task"
                f" WHERE t.transformation = {name}) r{number}"
                f" ON r{number}.item = d.item AND r{number}.place = 1"
            )
            task = f"COALESCE(r{number}.task, {task})"
        columns[_free(f"{transformation}_task_id", columns)] = task
    for attribute in dataset.attributes.values():
        columns[_free(attribute.view_column, columns)] = f"d.{attribute.column}"
    listed = [f"{source} AS {quote_name(name)}" for name, source in columns.items()] + ["d.run_id", "d.item"]
    return f"SELECT {', '.join(listed)} FROM {dataset.table} d{''.join(joins)}"


def _free(name: str, taken: dict[str, str]) -> str:
    lower = {other.lower() for other in taken}
    candidate, number = name, 2
    while candidate.lower() in lower:
        candidate, number = f"{name}_{number}", number + 1
    return candidate
