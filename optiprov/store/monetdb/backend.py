"""The MonetDB backend: how the store's writing and asking become MonetDB's."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from optiprov.errors import NoStoreError, StoreError
from optiprov.store.backend import Backend, Kind, check_encodable, quote_name, quote_text
from optiprov.store.monetdb.binary import binary_columns, can_be_binary
from optiprov.store.monetdb.dialect import Statement, literal, translate, translate_query, words_in
from optiprov.store.monetdb.load import NULL, copy_text, part_infinite, parts
from optiprov.store.monetdb.owner import Ownership, prepare
from optiprov.store.monetdb.readers import Readers
from optiprov.store.monetdb.session import NotUnderstood, Session
from optiprov.store.monetdb.spelling import KNOWN
from optiprov.store.monetdb.transactions import Transactions

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    import pyarrow as pa

    from optiprov.store.url import MonetDBAddress

_TYPES: dict[Kind, str] = {
    "integer": "BIGINT",
    "double": "DOUBLE",
    "boolean": "BOOLEAN",
    "text": "TEXT",
    "timestamp": "TIMESTAMP",
    "json": "TEXT",
}
_ROWS_AT_ONCE = 100
_ROWS_FOR_BINARY = 500


class MonetDBBackend(Backend):
    """A database of a MonetDB server, version Jul2021 (11.41) or later.

    The one writer has a session of its own, each query one of a small pool. Another process may ask at any
    time, with `read_only`.

    Args:
        address: the database.
        read_only: only ask; otherwise this is the one writer, as long as its session lives.

    Raises:
        NoStoreError: it holds no provenance, and is to be read only.
        StoreError: no server answers, it does not let us in, or another service writes to it.
    """

    faults = (StoreError,)

    def __init__(self, address: MonetDBAddress, *, read_only: bool = False) -> None:
        self._address = address
        self._readers = Readers(address)
        self._transactions: Transactions | None = None
        session = Session(address)
        try:
            if read_only:
                _check_provenance(session)
                session.close()
            else:
                prepare(session)
                self._ownership = Ownership(session)
                self._transactions = Transactions(self._ownership, self._readers)
        except BaseException:
            session.close()
            raise

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Run a statement in the current transaction; without one, in a transaction of its own."""
        text = translate(sql, parameters).text
        self._writing.do(lambda session: session.run(text))

    def insert_all(self, tables: Iterable[tuple[str, pa.Table]]) -> None:
        """Append rows by COPY INTO; those with infinite values, which its text cannot have, by INSERT."""
        for table, rows in tables:
            for step in _append(table, rows):
                self._writing.do(step)

    def insert_from(
        self, table: str, sql: str, parameters: Sequence[Any], change: Callable[[pa.Table], pa.Table]
    ) -> None:
        """Append what a function makes of the rows of a query; what is kept for a repetition is the query."""
        text = translate(sql, parameters).text

        def step(session: Session) -> None:
            for one in _append(table, change(session.fetch(text))):
                one(session)

        self._writing.do(step)

    @property
    def _writing(self) -> Transactions:
        if self._transactions is None:
            raise StoreError(f"{self._address.url}: the store was opened to read only.")
        return self._transactions

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what the block does, or nothing of it; what the block does may be done again.

        Raises:
            StoreError: the server is away or in trouble, or the transaction lost time and again.
        """
        with self._writing.transaction():
            yield

    def fetch(self, sql: str, parameters: Sequence[Any] = (), *, timeout_s: float | None = None) -> pa.Table:
        """Run one query in a session of the pool, and roll back what it may have done.

        One that MonetDB does not understand is run again with its names in the case that they have, if it is
        another: without quotes MonetDB takes all for lower case, where DuckDB is blind to it.
        """
        check_encodable(sql, parameters)
        statement = translate_query(sql, parameters)
        try:
            return self._readers.ask(statement, timeout_s)
        except NotUnderstood:
            spelled = translate_query(sql, parameters, self._names(words_in(sql)))
            if spelled.text == statement.text:
                raise
        return self._readers.ask(spelled, timeout_s)

    def _names(self, words: Collection[str]) -> set[str]:
        """Return the schemas and tables with these names, and the columns that these tables have of them."""
        listed = ", ".join(map(literal, sorted(words)))
        found = self._readers.ask(Statement(KNOWN.format(words=listed), {}))
        return set(found.column(0).to_pylist())

    def interrupt(self) -> None:
        """Cut off the queries that run, and refuse others: the store is about to be closed."""
        self._readers.interrupt()

    def close(self) -> None:
        """Cut off the queries that run, give the database up, and end all sessions."""
        self._readers.close()
        if self._transactions is not None:
            self._transactions.close()

    def announce(self, http: str) -> None:
        """Tell others where the service is that owns the database."""
        self._ownership.announce(http)

    def sql_type(self, kind: Kind) -> str:
        """Return MonetDB's name of a type."""
        return _TYPES[kind]

    def has_table(self, schema: str, table: str) -> bool:
        """Return whether there is a table or view of this name."""
        return bool(self.rows(_TABLE_EXISTS, (schema, table)))

    def change_type(self, table: str, column: str, kind: Kind) -> None:
        """Give a column another type, by making the table anew: MonetDB changes no types."""
        here = self._ownership.session  # which sees what the transaction has changed so far
        names = table.partition(".")[::2]
        is_boolean = here.rows(translate(_TYPE_OF, (*names, column)).text) == [("boolean",)]
        value = f"CAST({column} AS INTEGER)" if is_boolean else column
        self._remake(table, column, f"CAST({value} AS {_TYPES[kind]}) AS {column}")

    def drop_column(self, table: str, column: str) -> None:
        """Remove a column, by making the table anew.

        MonetDB 11.41 ends by a segmentation fault where a column is added and dropped in one transaction.
        """
        self._remake(table, column, None)

    def _remake(self, table: str, column: str, value: str | None) -> None:
        """Make a table anew with another value in a column, or without it; its views stay as they are."""
        here = self._ownership.session
        names = table.partition(".")[::2]
        views = here.rows(translate(_VIEWS_OF, names).text)
        for schema, view, _ in views:
            self.execute(f"DROP VIEW {quote_name(schema)}.{quote_name(view)}")
        columns = [one for (one,) in here.rows(translate(_COLUMNS_OF, names).text)]
        kept = [value if one == column else quote_name(one) for one in columns if one != column or value]
        self.execute(f"CREATE TABLE {table}_anew AS SELECT {', '.join(map(str, kept))} FROM {table}")
        self.execute(f"DROP TABLE {table}")
        self.execute(f"ALTER TABLE {table}_anew RENAME TO {names[1]}")
        for _, _, query in views:
            self._writing.do(partial(Session.run, text=query))

    @property
    def listing(self) -> str:
        """The query that lists what can be asked."""
        return _LISTING


def _append(table: str, rows: pa.Table) -> Iterator[Callable[[Session], Any]]:
    """Yield the steps that append rows.

    Binary costs the server and us half of what text does, but is asked for column by column.
    """
    target, columns = _target(table, tuple(rows.column_names))
    if len(rows) >= _ROWS_FOR_BINARY and can_be_binary(rows):
        files = dict(zip(map(str, range(rows.num_columns)), binary_columns(rows), strict=True))
        names = ", ".join(map(quote_text, files))
        copy = f"COPY LITTLE ENDIAN BINARY INTO {target} {columns} FROM {names} ON CLIENT"
        yield partial(Session.upload, text=copy, files=files)
        return
    finite, infinite = part_infinite(rows)
    for part in parts(finite) if len(finite) else ():
        copy = (
            f"COPY {len(part)} RECORDS INTO {target} {columns} FROM 'rows' {columns} ON CLIENT"
            rf" USING DELIMITERS E'\t', E'\n' NULL AS r'{NULL}'"
        )
        yield partial(Session.upload, text=copy, files={"rows": copy_text(part)})
    for start in range(0, len(infinite), _ROWS_AT_ONCE):
        values = ", ".join(
            f"({', '.join(map(literal, row.values()))})"
            for row in infinite.slice(start, _ROWS_AT_ONCE).to_pylist()
        )
        yield partial(Session.run, text=f"INSERT INTO {target} {columns} VALUES {values}")


def _check_provenance(session: Session) -> None:
    if not session.rows(translate(_TABLE_EXISTS, ("prov", "schema_version")).text):
        raise NoStoreError(
            f"{session.address.url}: the database is there, without provenance. Run an optimization or"
            " `optiprov serve` on it."
        )


@cache
def _target(table: str, columns: tuple[str, ...]) -> tuple[str, str]:
    return translate(table).text, translate(f"({', '.join(map(quote_name, columns))})").text


_TABLE_EXISTS = """
    SELECT 1 FROM sys.tables t JOIN sys.schemas s ON s.id = t.schema_id WHERE s.name = ? AND t.name = ?"""
_VIEWS_OF = """
    SELECT DISTINCT vs.name, v.name, v.query FROM sys.tables t
    JOIN sys.schemas s ON s.id = t.schema_id
    JOIN sys.dependencies d ON d.id = t.id
    JOIN sys.tables v ON v.id = d.depend_id AND v.query IS NOT NULL
    JOIN sys.schemas vs ON vs.id = v.schema_id
    WHERE s.name = ? AND t.name = ?"""
_COLUMNS_OF = """
    SELECT c.name FROM sys.columns c JOIN sys.tables t ON t.id = c.table_id
    JOIN sys.schemas s ON s.id = t.schema_id WHERE s.name = ? AND t.name = ? ORDER BY c.number"""
_TYPE_OF = """
    SELECT c.type FROM sys.columns c JOIN sys.tables t ON t.id = c.table_id
    JOIN sys.schemas s ON s.id = t.schema_id WHERE s.name = ? AND t.name = ? AND c.name = ?"""
_LISTING = """
    SELECT s.name AS "schema", t.name AS "view", c.name AS "column",
           CASE c.type WHEN 'bigint' THEN 'integer' WHEN 'int' THEN 'integer' WHEN 'clob' THEN 'text'
                       WHEN 'varchar' THEN 'text' ELSE c.type END AS type,
           c.number + 1 AS position
    FROM sys.columns c JOIN sys.tables t ON t.id = c.table_id JOIN sys.schemas s ON s.id = t.schema_id
    WHERE NOT t.system"""
