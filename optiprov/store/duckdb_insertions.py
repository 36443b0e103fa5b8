"""Prepared INSERTs for DuckDB.

To append a few rows takes a third of the time that it takes by a statement that is planned for them.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING

import duckdb

from optiprov.store.backend import quote_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pyarrow as pa

_MAX_PREPARED = 256
_MAX_AT_ONCE = 64


class _Source:
    """What a prepared INSERT reads: the rows that it has to append now.

    Attributes:
        times_read: how often it was, since the rows were given.
    """

    def __init__(self, name: str, rows: pa.Table) -> None:
        self.name = name
        self._none = rows.schema.empty_table()
        self.give(rows)

    def give(self, rows: pa.Table) -> None:
        """Have these rows read."""
        self._rows = rows
        self.times_read = 0

    def take_back(self) -> None:
        """Hold no rows any more."""
        self._rows = self._none

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        self.times_read += 1
        return self._rows.__arrow_c_stream__(requested_schema)


class Insertions:
    """Appends rows to the tables of a database, by a statement for each table and schema of rows.

    Args:
        connection: where the statements are prepared.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._numbers = count()
        self._prepared: OrderedDict[tuple[str, pa.Schema], _Source] = OrderedDict()

    def insert(self, tables: Iterable[tuple[str, pa.Table]]) -> None:
        """Append rows, by the names of their columns, to tables whose names are quoted already."""
        sources: dict[tuple[str, pa.Schema], _Source] = {}
        for table, rows in tables:
            key = (table, rows.schema)
            if key in sources or len(sources) == _MAX_AT_ONCE:
                self._execute(sources)
                sources = {}
            sources[key] = self._prepared.get(key) or self._add(key, rows)
            self._prepared.move_to_end(key)
            sources[key].give(rows)
        self._execute(sources)

    def _execute(self, sources: dict[tuple[str, pa.Schema], _Source]) -> None:
        """Execute statements in one call: in between, other threads would take the interpreter."""
        try:
            self._connection.execute("; ".join([f"EXECUTE {source.name}" for source in sources.values()]))
        finally:
            for source in sources.values():
                source.take_back()
        for (table, schema), source in sources.items():
            if source.times_read > 1:
                # A definition has changed since, of any table or view, so that the statement is planned at
                # each execution, which asks the source for its columns; unless it is prepared again.
                self._connection.execute(f"DEALLOCATE {source.name}")
                self._prepare(table, source, schema.names)

    def forget(self) -> None:
        """Prepare anew from now on: a rollback takes back what was registered in its transaction."""
        while self._prepared:
            self._drop_oldest()

    def _add(self, key: tuple[str, pa.Schema], rows: pa.Table) -> _Source:
        if len(self._prepared) >= _MAX_PREPARED:
            self._drop_oldest()
        source = _Source(f"_rows_{next(self._numbers)}", rows)
        self._connection.register(source.name, source)
        self._prepare(key[0], source, rows.column_names)
        self._prepared[key] = source
        source.give(rows)
        return source

    def _prepare(self, table: str, source: _Source, columns: Sequence[str]) -> None:
        names = ", ".join(map(quote_name, columns))
        self._connection.execute(
            f"PREPARE {source.name} AS INSERT INTO {table} ({names}) SELECT * FROM {source.name}"
        )

    def _drop_oldest(self) -> None:
        _, source = self._prepared.popitem(last=False)
        with suppress(duckdb.Error):
            self._connection.execute(f"DEALLOCATE {source.name}")
        with suppress(duckdb.Error):
            self._connection.unregister(source.name)
