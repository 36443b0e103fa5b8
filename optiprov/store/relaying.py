"""Lays values that came before their specification on the attributes that it names.

The rows of a dataset may be many, so they pass through here some thousands at a time: first to learn which
types the columns need, again to reject what does not fit, where something does not, and at last into a table
beside the dataset's, from which the engine takes what has changed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from optiprov.store.backend import to_arrow
from optiprov.store.layout import lay_out
from optiprov.store.rejection import item_text
from optiprov.store.values import convert, kind_of, unwrap, widen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

    from optiprov.store.backend import Backend, Kind
    from optiprov.store.catalog import Catalog, Dataset

    Reject = Callable[[str, str], None]

_STAGED = "dataset.relaid"
_ROWS_AT_ONCE = 20_000
_KINDS: dict[str, tuple[Kind, ...]] = {
    "TEXT": ("text",),
    "FILE": ("text",),
    "NUMERIC": ("integer", "double"),
}


def relay(backend: Backend, catalog: Catalog, dataset: Dataset, reject: Reject, *, is_first: bool) -> None:
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
    stored = _StoredRows(backend, dataset)
    needs = _learn(dataset, stored)
    kinds = {
        name: needs.kinds[name]
        for name in dict.fromkeys([*dataset.specified, *foreign])
        if (name in needs.kept or (name in dataset.specified and name in dataset.attributes))
        and (is_first or not (name in mistyped and name in needs.misfits))  # an older one allowed them
    }
    misfits = [name for name in kinds if name in needs.misfits]
    if misfits or needs.is_mislaid:
        _reject_misfits(dataset, stored, {name: kinds[name] for name in misfits}, reject)
    if kinds:
        _stage(backend, dataset, stored, kinds)
    for name in [*foreign, *mistyped]:
        if name in dataset.attributes and (name in kinds) == (name in mistyped):
            catalog.drop_attribute(dataset, name)
    targets = [catalog.attribute(dataset, name, kind).column for name, kind in kinds.items()]
    if targets:
        _take_over(backend, dataset, targets)


class _Row(NamedTuple):
    """A stored row: its key, whose it is, and its values by attribute."""

    commit_id: int
    ordinal: int
    task: int
    run_id: str
    transformation: str
    values: dict[str, Any]

    def where(self, task_id: str | None) -> str:
        return f"task {task_id} of {self.transformation} in run {self.run_id}"

    def shown(self, dataset: Dataset, task_id: str | None, values: dict[str, Any]) -> str:
        return item_text(self.run_id, self.transformation, task_id, dataset.name, values)


class _StoredRows:
    """The rows of a dataset as they are before anything is changed, some thousands at a time."""

    def __init__(self, backend: Backend, dataset: Dataset) -> None:
        self._backend = backend
        self._table = dataset.table
        self._attributes = [(one.name, one.kind) for one in dataset.attributes.values()]
        columns = "".join(f", d.{one.column}" for one in dataset.attributes.values())
        self.select = (
            f"SELECT d.commit_id, d.ordinal, d.task, d.run_id, d.transformation{columns}"
            f" FROM {dataset.table} d WHERE d.commit_id BETWEEN ? AND ?"
        )
        # Commits, the first and the last, as many as have so many rows together: all of one, at least.
        sizes = f"SELECT commit_id, count(*) AS n FROM {dataset.table} GROUP BY commit_id"
        part = f"floor((sum(b.n) OVER (ORDER BY b.commit_id) - b.n) / {_ROWS_AT_ONCE}.0)"
        self.parts = backend.rows(
            "SELECT min(c.commit_id), max(c.commit_id)"
            f" FROM (SELECT b.commit_id, {part} AS part FROM ({sizes}) b) c GROUP BY c.part ORDER BY 1"
        )

    def __iter__(self) -> Iterator[list[_Row]]:
        for part in self.parts:
            yield list(self.read(self._backend.fetch(self.select, part)))

    def read(self, table: pa.Table) -> Iterator[_Row]:
        """Return the rows that the query of a part has given."""
        columns = [column.to_pylist() for column in table.columns]
        for commit_id, ordinal, task, run_id, transformation, *values in zip(*columns, strict=True):
            present = {
                name: json.loads(value) if kind == "json" else value
                for (name, kind), value in zip(self._attributes, values, strict=True)
                if value is not None
            }
            yield _Row(commit_id, ordinal, task, run_id, transformation, present)

    def task_ids(self, rows: list[_Row]) -> dict[int, str]:
        """Return the ids that the application gave to the tasks of rows that were read at once."""
        if not rows:
            return {}
        part = (min(row.commit_id for row in rows), max(row.commit_id for row in rows))
        wanted = f"SELECT d.task FROM {self._table} d WHERE d.commit_id BETWEEN ? AND ?"
        sql = " UNION ".join(
            f"SELECT task, task_id FROM prov.{table} WHERE task IN ({wanted})"
            for table in ("task_begin", "task_end")
        )
        return dict(self._backend.rows(sql, part * 2))


@dataclass
class _Needs:
    """What the rows need.

    Attributes:
        kinds: of the columns, by attribute.
        kept: the attributes that have values.
        misfits: those of them that have a value which the specified type does not take.
        is_mislaid: whether a list has too few values or too many.
    """

    kinds: dict[str, Kind]
    kept: set[str] = field(default_factory=set)
    misfits: set[str] = field(default_factory=set)
    is_mislaid: bool = False


def _learn(dataset: Dataset, stored: _StoredRows) -> _Needs:
    needs = _Needs({name: attribute.kind for name, attribute in dataset.attributes.items()})
    needs.kinds |= {name: _KINDS[specified][0] for name, specified in dataset.specified.items()}
    for rows in stored:
        for row in rows:
            try:
                laid = _lay(dataset, row)
            except ValueError:
                needs.is_mislaid = True
                continue
            needs.kept |= laid.keys()
            for name in laid.keys() & dataset.specified.keys():
                wanted = kind_of(laid[name])
                if wanted is not None:
                    needs.kinds[name] = widen(needs.kinds[name], wanted)
                if isinstance(_converted(laid[name], needs.kinds[name]), ValueError):
                    needs.misfits.add(name)
    return needs


def _reject_misfits(dataset: Dataset, stored: _StoredRows, kinds: dict[str, Kind], reject: Reject) -> None:
    for rows in stored:
        found = [(row, *misfit) for row in rows for misfit in _misfits(dataset, row, kinds)]
        ids = stored.task_ids([row for row, *_ in found])
        for row, what, reason, values in found:
            task_id = ids.get(row.task)
            reject(f"{what} of {row.where(task_id)}: {reason}", row.shown(dataset, task_id, values))


def _misfits(
    dataset: Dataset, row: _Row, kinds: dict[str, Kind]
) -> Iterator[tuple[str, ValueError, dict[str, Any]]]:
    """Yield what of a row does not fit: the dataset or an attribute, why, and the values."""
    try:
        laid = _lay(dataset, row)
    except ValueError as error:
        yield dataset.name, error, row.values
        return
    for name, kind in kinds.items():
        result = _converted(laid.get(name), kind)
        if isinstance(result, ValueError):
            yield f"{dataset.name}.{name}", result, {name: laid[name]}


def _fits(dataset: Dataset, name: str) -> bool:
    attribute = dataset.attributes.get(name)
    return attribute is None or attribute.kind in _KINDS[dataset.specified[name]]


def _lay(dataset: Dataset, row: _Row) -> dict[str, Any]:
    """Return a row's values by the attributes that they belong to.

    Raises:
        ValueError: a list has too few values or too many.
    """
    laid = lay_out(dataset, row.values)
    return {name: value if name in row.values else unwrap(value) for name, value in laid.items()}


def _converted(value: Any, kind: Kind) -> Any:
    try:
        return convert(value, kind)
    except ValueError as error:
        return error


def _stage(backend: Backend, dataset: Dataset, stored: _StoredRows, kinds: dict[str, Kind]) -> None:
    """Make a table of the rows as they are to be: their keys, and a column for each attribute."""
    keys: dict[str, Kind] = {"commit_id": "integer", "ordinal": "integer"}
    columns = keys | {_staged_column(place): kind for place, kind in enumerate(kinds.values())}
    defined = ", ".join(f"{name} {backend.sql_type(kind)}" for name, kind in columns.items())
    backend.execute(f"CREATE TABLE {_STAGED} ({defined})")

    def relaid(table: pa.Table) -> pa.Table:
        rows = [_relaid(dataset, row, kinds) for row in stored.read(table)]
        values = zip(*rows, strict=True) if rows else ((),) * len(columns)
        return to_arrow(
            {name: (kind, list(one)) for (name, kind), one in zip(columns.items(), values, strict=True)}
        )

    for part in stored.parts:
        backend.insert_from(_STAGED, stored.select, part, relaid)


def _relaid(dataset: Dataset, row: _Row, kinds: dict[str, Kind]) -> list[Any]:
    try:
        laid = _lay(dataset, row)
    except ValueError:
        laid = {}
    values = [_converted(laid.get(name), kind) for name, kind in kinds.items()]
    return [row.commit_id, row.ordinal, *(None if isinstance(one, ValueError) else one for one in values)]


def _staged_column(place: int) -> str:
    return f"s{place}"


def _take_over(backend: Backend, dataset: Dataset, targets: list[str]) -> None:
    table = dataset.table.rpartition(".")[2]  # not every engine takes a column with schema and table
    assigned = ", ".join(f"{column} = s.{_staged_column(place)}" for place, column in enumerate(targets))
    backend.execute(
        f"UPDATE {dataset.table} SET {assigned} FROM {_STAGED} s"
        f" WHERE {table}.commit_id = s.commit_id AND {table}.ordinal = s.ordinal"
    )
    backend.execute(f"DROP TABLE {_STAGED}")
