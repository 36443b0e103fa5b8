"""The embedded engine: one DuckDB file, owned by one process at a time."""

from __future__ import annotations

import contextlib
import threading
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import duckdb

from optiprov.errors import QueryError, StoreError
from optiprov.store.backend import Backend, Kind, check_encodable
from optiprov.store.duckdb_insertions import Insertions
from optiprov.store.opening import check_file, not_opened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

_TYPES: dict[Kind, str] = {
    "integer": "BIGINT",
    "double": "DOUBLE",
    "boolean": "BOOLEAN",
    "text": "VARCHAR",
    "timestamp": "TIMESTAMP",
    "json": "VARCHAR",
}
# The file is attached under a name of ours, so that no dataset or dataflow has the name of the file.
_ATTACHED = "_store"
_INTERRUPTION_S = 3.0
_CHECKPOINT = "64MB"  # of log: each checkpoint writes the last, incomplete row group of every table again
_SEARCH_PATH = f"SET search_path = '{_ATTACHED}.main,{_ATTACHED}.prov'"


class DuckDBBackend(Backend):
    """A DuckDB file.

    What queries may do is bounded by the engine itself: read-only transactions, no files, no network, no
    extensions, no settings.

    Args:
        path: the file; it is created where it is absent, unless read-only.
        read_only: open it to read only, beside other such readers.

    Raises:
        NoStoreError: the file is absent, or no DuckDB file with provenance.
        StoreError: it is owned by another process, or cannot be read or written.
    """

    writes_alone = True
    faults = (
        duckdb.IOException,
        duckdb.OutOfMemoryException,
        duckdb.InternalException,
        duckdb.ConnectionException,
        duckdb.FatalException,
        duckdb.TransactionException,
    )

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        check_file(path, read_only=read_only)
        self._connection = duckdb.connect(":memory:", config={"autoinstall_known_extensions": False})
        self._insertions = Insertions(self._connection)
        self._cursors: set[duckdb.DuckDBPyConnection] = set()
        self._cursors_change = threading.Condition()
        self._is_closing = False
        mode = " (TYPE duckdb, READ_ONLY)" if read_only else " (TYPE duckdb)"
        name = str(path).replace("'", "''")
        try:
            self._connection.execute(f"ATTACH '{name}' AS {_ATTACHED}{mode}")
            if not read_only:
                self._connection.execute(f"CREATE SCHEMA IF NOT EXISTS {_ATTACHED}.prov")
            self._connection.execute(_SEARCH_PATH)
        except duckdb.Error as error:
            self._connection.close()
            raise not_opened(path, error) from error
        self._connection.execute("SET TimeZone = 'UTC'")
        self._connection.execute(f"SET checkpoint_threshold = '{_CHECKPOINT}'")
        self._connection.execute("SET python_enable_replacements = false")  # no variables of ours as tables
        self._connection.execute("SET allow_community_extensions = false")
        self._connection.execute("SET enable_external_access = false")
        if not read_only:  # others need a core: broker, lanes, the application; and small commits cost less
            self._connection.execute("SET threads = greatest(1, current_setting('threads') - 1)")
        self._connection.execute("SET lock_configuration = true")

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Run a statement in the current transaction."""
        self._connection.execute(sql, list(parameters))

    def insert_all(self, tables: Iterable[tuple[str, pa.Table]]) -> None:
        """Append rows, which DuckDB reads in place."""
        self._insertions.insert(tables)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what the block does, or nothing of it."""
        try:
            with super().transaction():
                yield
        except BaseException:
            self._insertions.forget()
            raise

    def insert_from(
        self, table: str, sql: str, parameters: Sequence[Any], change: Callable[[pa.Table], pa.Table]
    ) -> None:
        """Append what a function makes of the rows of a query."""
        self.insert(table, change(self._connection.execute(sql, list(parameters)).to_arrow_table()))

    def fetch(self, sql: str, parameters: Sequence[Any] = (), *, timeout_s: float | None = None) -> pa.Table:
        """Run one query in a read-only transaction of its own."""
        check_encodable(sql, parameters)
        statement = _single_query(sql)
        cursor = self._cursor()
        timer = threading.Timer(timeout_s, cursor.interrupt) if timeout_s is not None else None
        try:
            cursor.execute(_SEARCH_PATH)
            cursor.execute("BEGIN TRANSACTION READ ONLY")
            if timer is not None:
                timer.start()
            return cursor.execute(statement, list(parameters)).to_arrow_table()
        except duckdb.InterruptException as error:
            raise TimeoutError(f"the query was interrupted (after {timeout_s} s)") from error
        except (duckdb.Error, ValueError) as error:
            # A query that would write breaks its read-only transaction: that is the query's fault.
            is_ours = isinstance(error, self.faults) and not isinstance(error, duckdb.TransactionException)
            raise (StoreError if is_ours else QueryError)(str(error)) from error
        finally:
            if timer is not None:
                timer.cancel()
            cursor.close()
            with self._cursors_change:
                self._cursors.discard(cursor)
                self._cursors_change.notify_all()

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        with self._cursors_change:
            if self._is_closing:
                raise StoreError("the store is closed")
            cursor = self._connection.cursor()
            self._cursors.add(cursor)
            return cursor

    def sql_type(self, kind: Kind) -> str:
        """Return DuckDB's name of a type."""
        return _TYPES[kind]

    def has_table(self, schema: str, table: str) -> bool:
        """Return whether there is a table or view of this name."""
        known = "SELECT 1 FROM information_schema.tables WHERE table_schema = ? AND table_name = ?"
        return bool(self.rows(known, (schema, table)))

    def change_type(self, table: str, column: str, kind: Kind) -> None:
        """Widen the type of a column."""
        self.execute(f"ALTER TABLE {table} ALTER COLUMN {column} TYPE {_TYPES[kind]}")

    def drop_column(self, table: str, column: str) -> None:
        """Remove a column."""
        self.execute(f"ALTER TABLE {table} DROP COLUMN {column}")

    @property
    def listing(self) -> str:
        """The query that lists what can be asked."""
        return _LISTING

    def close(self) -> None:
        """Interrupt queries, write what is in the log into the file, and close it."""
        self.interrupt()
        with self._cursors_change:
            self._cursors_change.wait_for(lambda: not self._cursors, _INTERRUPTION_S)
        with contextlib.suppress(duckdb.ResourceInUseException):  # a query that cannot be interrupted
            self._connection.close()

    def interrupt(self) -> None:
        """Interrupt the queries that run, and refuse others: the store is about to be closed."""
        with self._cursors_change:
            self._is_closing = True
            for cursor in self._cursors:
                cursor.interrupt()


_LISTING = f"""
    SELECT table_schema AS "schema", table_name AS "view", column_name AS "column",
           CASE data_type WHEN 'BIGINT' THEN 'integer' WHEN 'INTEGER' THEN 'integer'
                          WHEN 'DOUBLE' THEN 'double' WHEN 'BOOLEAN' THEN 'boolean' WHEN 'VARCHAR' THEN 'text'
                          WHEN 'TIMESTAMP' THEN 'timestamp' ELSE data_type END AS type,
           ordinal_position AS position
    FROM information_schema.columns
    WHERE table_catalog = '{_ATTACHED}' AND table_schema <> 'information_schema'"""


def _single_query(sql: str) -> duckdb.Statement:
    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error as error:
        raise QueryError(str(error)) from error
    if len(statements) != 1 or statements[0].type not in _QUERIES:
        found = ", ".join(statement.type.name for statement in statements) or "nothing"
        raise QueryError(f"One SELECT is accepted at a time, got {found}. The store is read-only to queries.")
    return statements[0]


# It says that `cursor.sql(...)` spares a copy of the rows; but that plans a query twice, which takes longer.
warnings.filterwarnings("ignore", "Arrow output on a DB-API result", UserWarning)
_QUERIES = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)
