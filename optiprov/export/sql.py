"""A store as one SQL script, which an empty DuckDB and an empty MonetDB both load."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, TextIO

from optiprov.export.literals import literal_rows
from optiprov.store.backend import quote_name
from optiprov.store.catalog import FIXED_COLUMNS, read_datasets
from optiprov.store.dataset_views import BARE_SCHEMA, dataset_views
from optiprov.store.monetdb.dialect import legal_name, portable
from optiprov.store.schema import SINCE_VERSION, TABLES, VIEWS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from optiprov.store import Provenance
    from optiprov.store.backend import Kind

PAGE_ROWS = 50_000
"""How many rows are in memory at a time."""

ROWS_A_STATEMENT = 200
_TYPES: dict[Kind, str] = {
    "integer": "BIGINT",
    "double": "DOUBLE",
    "boolean": "BOOLEAN",
    "text": "TEXT",
    "timestamp": "TIMESTAMP",
    "json": "TEXT",
}
_LISTING: dict[str, Kind] = {
    "schema": "text",
    "view": "text",
    "column": "text",
    "type": "text",
    "position": "integer",
}
_HEADER = """\
-- Provenance of optiprov. Load it into an empty database:
--   duckdb new.duckdb < provenance_database.sql
--   mclient -d new provenance_database.sql
-- Datasets are views in the schema main (MonetDB: SET SCHEMA main) and in one schema a dataflow.
"""


def write_sql_dump(provenance: Provenance, path: Path) -> None:
    """Write all that a store holds into a file; it appears under its name when it is complete.

    What both engines can hold is written as it is. MonetDB has no NaN, no smallest 64-bit integer (both are
    NULL) and no word for infinity (it is the largest double).

    Args:
        provenance: The store, which nobody should write to meanwhile.
        path: The file.

    Raises:
        StoreError: The store cannot be read.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.part")
    with unfinished.open("w", encoding="utf-8") as file:
        _Dump(provenance, file).write()
    unfinished.replace(path)


class _Dump:
    """Writes one store to one file."""

    def __init__(self, provenance: Provenance, file: TextIO) -> None:
        self._provenance = provenance
        self._file = file

    def write(self) -> None:
        self._file.write(_HEADER)
        self._statement("START TRANSACTION")
        for schema in ("prov", "dataset", "main"):
            self._statement(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        self._table("prov", "schema_version", {"version": "integer"})
        ((version,),) = self._rows("SELECT max(version) FROM prov.schema_version")
        for table, columns in TABLES.items():
            if SINCE_VERSION.get(table, 1) <= version:
                self._table("prov", table, columns)
        for table, columns in self._datasets():
            self._table("dataset", table, columns)
        for view, query in VIEWS.items():
            self._statement(f"CREATE VIEW prov.{_name(view)} AS {portable(' '.join(query.split()))}")
        self._views()
        self._table("prov", "listing", _LISTING)
        self._statement("COMMIT")

    def _datasets(self) -> Iterator[tuple[str, dict[str, Kind]]]:
        """Yield the table of each dataset with its columns."""
        for dataset in read_datasets(self._rows):
            of_attributes = {one.column: one.kind for one in dataset.attributes.values()}
            yield f"d{dataset.key}", {**FIXED_COLUMNS, **of_attributes}

    def _table(self, schema: str, table: str, columns: Mapping[str, Kind]) -> None:
        name = f"{schema}.{_name(table)}"
        typed = ", ".join(f"{_name(column)} {_TYPES[kind]}" for column, kind in columns.items())
        self._statement(f"CREATE TABLE {name} ({typed})")
        listed = ", ".join(map(quote_name, columns))
        source = f"SELECT {listed} FROM {schema}.{table}"  # noqa: S608  names are ours or quoted
        for offset in count(0, PAGE_ROWS):
            page = self._provenance.fetch(f"{source} LIMIT {PAGE_ROWS} OFFSET {offset}")
            rows = literal_rows(page) if len(page) else []
            for start in range(0, len(rows), ROWS_A_STATEMENT):
                values = ",\n".join(rows[start : start + ROWS_A_STATEMENT])
                self._statement(f"INSERT INTO {name} VALUES\n{values}")
            if len(page) < PAGE_ROWS:
                return

    def _views(self) -> None:
        """Make the views of the datasets, those in the schemas of dataflows and the bare ones."""
        made = {BARE_SCHEMA}
        for schema, view, query in dataset_views(read_datasets(self._rows)):
            if schema not in made:
                made.add(schema)
                self._statement(f"CREATE SCHEMA IF NOT EXISTS {_name(schema)}")
            self._statement(f"CREATE VIEW {_name(schema)}.{_name(view)} AS {portable(query)}")

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        table = self._provenance.fetch(sql)
        return list(zip(*(column.to_pylist() for column in table.columns), strict=True))

    def _statement(self, text: str) -> None:
        self._file.write(f"{text};\n")


def _name(name: str) -> str:
    return quote_name(legal_name(name))
