"""Lays values that came before their specification on the attributes that it names."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from optiprov.store.backend import to_arrow
from optiprov.store.layout import lay_out
from optiprov.store.rejection import item_text
from optiprov.store.values import convert, kind_of, unwrap, widen

if TYPE_CHECKING:
    from collections.abc import Callable

    from optiprov.store.backend import Backend, Kind
    from optiprov.store.catalog import Catalog, Dataset

_STAGED = "dataset.relaid"
_KINDS: dict[str, tuple[Kind, ...]] = {
    "TEXT": ("text",),
    "FILE": ("text",),
    "NUMERIC": ("integer", "double"),
}


class _Row(NamedTuple):
    """A stored row: its key, where it comes from, and its values by attribute."""

    commit_id: int
    ordinal: int
    run_id: str
    transformation: str
    task_id: str | None
    values: dict[str, Any]

    @property
    def where(self) -> str:
        return f"task {self.task_id} of {self.transformation} in run {self.run_id}"

    def shown(self, dataset: Dataset, values: dict[str, Any]) -> str:
        return item_text(self.run_id, self.transformation, self.task_id, dataset.name, values)


def relay(
    backend: Backend,
    catalog: Catalog,
    dataset: Dataset,
    reject: Callable[[str, str], None],
    *,
    is_first: bool,
) -> None:
    """Rewrite the rows of a dataset whose specification has just come, where it asks for it.

    A list under a name that is no attribute's goes to the attributes in order, and columns take the specified
    types. With the first specification, what does not fit is rejected, as it would be behind it; a later one
    leaves what older ones allowed.

    Args:
        backend: the open database, in a transaction that has not changed the dataset's rows.
        catalog: its datasets.
        dataset: the one, with its new specification.
        reject: told the reason and the values of an item that does not fit.
        is_first: whether it had none before.
    """
    foreign = [name for name in dataset.attributes if name not in dataset.known_names]
    mistyped = [name for name in dataset.specified if not _fits(dataset, name)]
    if not foreign and not mistyped:
        return
    rows = _read(backend, dataset)
    laid = [_lay(dataset, row, reject) for row in rows]
    kept = {name for values in laid for name in values}
    columns: dict[str, tuple[Kind, list[Any]]] = {}
    for name in dict.fromkeys([*dataset.specified, *foreign]):
        specified = dataset.specified.get(name)
        if name not in kept and (specified is None or name not in dataset.attributes):
            continue
        values = [
            one.get(name) if name in row.values else unwrap(one.get(name))
            for row, one in zip(rows, laid, strict=True)
        ]
        kind: Kind = _kind(values, specified) if specified else dataset.attributes[name].kind
        converted = _converted(values, kind)
        if name in mistyped and not is_first and any(isinstance(one, ValueError) for one in converted):
            continue  # an older specification allowed them
        for row, value, result in zip(rows, values, converted, strict=True):
            if isinstance(result, ValueError):
                shown = row.shown(dataset, {name: value})
                reject(f"{dataset.name}.{name} of {row.where}: {result}", shown)
        columns[name] = (kind, [None if isinstance(one, ValueError) else one for one in converted])
    for name in [*foreign, *mistyped]:
        if name in dataset.attributes and (name in columns) == (name in mistyped):
            catalog.drop_attribute(dataset, name)
    targets = {catalog.attribute(dataset, name, kind).column: name for name, (kind, _) in columns.items()}
    if rows and targets:
        _rewrite(backend, dataset, rows, {column: columns[name] for column, name in targets.items()})


def _fits(dataset: Dataset, name: str) -> bool:
    attribute = dataset.attributes.get(name)
    return attribute is None or attribute.kind in _KINDS[dataset.specified[name]]


def _read(backend: Backend, dataset: Dataset) -> list[_Row]:
    attributes = list(dataset.attributes.values())
    selected = "".join(f", d.{attribute.column}" for attribute in attributes)
    rows = backend.rows(
        "SELECT d.commit_id, d.ordinal, d.run_id, d.transformation, t.task_id"
        f"{selected} FROM {dataset.table} d LEFT JOIN prov.task t ON t.task = d.task"
    )
    return [
        _Row(
            commit_id,
            ordinal,
            *(run_id, transformation, task_id),
            {
                attribute.name: json.loads(value) if attribute.kind == "json" else value
                for attribute, value in zip(attributes, values, strict=True)
                if value is not None
            },
        )
        for commit_id, ordinal, run_id, transformation, task_id, *values in rows
    ]


def _lay(dataset: Dataset, row: _Row, reject: Callable[[str, str], None]) -> dict[str, Any]:
    try:
        return lay_out(dataset, row.values)
    except ValueError as error:
        reject(f"{dataset.name} of {row.where}: {error}", row.shown(dataset, row.values))
        return {}


def _kind(values: list[Any], specified: str) -> Kind:
    kind: Kind = _KINDS[specified][0]
    for value in values:
        wanted = kind_of(value)
        if wanted is not None:
            kind = widen(kind, wanted)
    return kind


def _converted(values: list[Any], kind: Kind) -> list[Any]:
    converted: list[Any] = []
    for value in values:
        try:
            converted.append(convert(value, kind))
        except ValueError as error:
            converted.append(error)
    return converted


def _rewrite(
    backend: Backend, dataset: Dataset, rows: list[_Row], columns: dict[str, tuple[Kind, list[Any]]]
) -> None:
    staged: dict[str, tuple[Kind, list[Any]]] = {
        "commit_id": ("integer", [row.commit_id for row in rows]),
        "ordinal": ("integer", [row.ordinal for row in rows]),
        **columns,
    }
    defined = ", ".join(f"{name} {backend.sql_type(kind)}" for name, (kind, _) in staged.items())
    backend.execute(f"CREATE TABLE {_STAGED} ({defined})")
    backend.insert(_STAGED, to_arrow(staged))
    table = dataset.table.rpartition(".")[2]  # not every engine takes a column with schema and table
    assigned = ", ".join(f"{column} = s.{column}" for column in columns)
    backend.execute(
        f"UPDATE {dataset.table} SET {assigned} FROM {_STAGED} s"
        f" WHERE {table}.commit_id = s.commit_id AND {table}.ordinal = s.ordinal"
    )
    backend.execute(f"DROP TABLE {_STAGED}")
