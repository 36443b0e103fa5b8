"""What a database engine has to offer: the small interface that store code is written against."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from optiprov.errors import QueryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

Kind = Literal["integer", "double", "boolean", "text", "timestamp", "json"]
"""The types a column has, whatever the engine calls them. Timestamps are UTC, json is text."""


ARROW_TYPES: dict[Kind, pa.DataType] = {
    "integer": pa.int64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "text": pa.string(),
    "timestamp": pa.timestamp("us"),
    "json": pa.string(),
}


def to_arrow(columns: Mapping[str, tuple[Kind, Sequence[Any]]]) -> pa.Table:
    """Return rows to insert from their columns: the kind and the values of each, all of one length."""
    return pa.table({name: pa.array(values, ARROW_TYPES[kind]) for name, (kind, values) in columns.items()})


class Backend(ABC):
    """One open database. The writing methods belong to one thread, `fetch` to any.

    Attributes:
        commits: how many transactions of this object have been committed.
    """

    commits = 0
    writes_alone = False
    """Whether nobody else writes to the database while this object has it open."""
    faults: tuple[type[Exception], ...] = ()
    """Errors that are the engine's trouble (a full disk, no memory), not that of what it was given."""

    @abstractmethod
    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Run a statement in the current transaction."""

    @abstractmethod
    def insert_all(self, tables: Iterable[tuple[str, pa.Table]]) -> None:
        """Append rows to tables in bulk, by the names of their columns; tables' names are quoted already."""

    def insert(self, table: str, rows: pa.Table) -> None:
        """Append rows to one table, as `insert_all` does."""
        self.insert_all([(table, rows)])

    @abstractmethod
    def insert_from(
        self, table: str, sql: str, parameters: Sequence[Any], change: Callable[[pa.Table], pa.Table]
    ) -> None:
        """Append what a function makes of the rows of a query, which runs in the current transaction.

        Where the transaction is done again, so is this: the function may be called more than once.
        """

    @abstractmethod
    def fetch(self, sql: str, parameters: Sequence[Any] = (), *, timeout_s: float | None = None) -> pa.Table:
        """Run one query in a read-only transaction of its own and return its rows.

        Raises:
            QueryError: the statement is not a single query, or the engine refuses it.
            TimeoutError: it took longer than allowed.
        """

    @abstractmethod
    def sql_type(self, kind: Kind) -> str:
        """Return the engine's name of a type."""

    @abstractmethod
    def has_table(self, schema: str, table: str) -> bool:
        """Return whether there is a table or view of this name."""

    @abstractmethod
    def change_type(self, table: str, column: str, kind: Kind) -> None:
        """Widen the type of a column, within the current transaction; its values are kept."""

    @abstractmethod
    def drop_column(self, table: str, column: str) -> None:
        """Remove a column that no view shows, within the current transaction."""

    @property
    @abstractmethod
    def listing(self) -> str:
        """The query that lists what can be asked: schema, view, column, type (a Kind) and position."""

    @abstractmethod
    def interrupt(self) -> None:
        """Interrupt the queries that run, and refuse others: the store is about to be closed."""

    @abstractmethod
    def close(self) -> None:
        """Close the database."""

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what the block does, or nothing of it."""
        self.execute("BEGIN TRANSACTION")
        try:
            yield
            self.execute("COMMIT")
            self.commits += 1
        except BaseException:
            with suppress(Exception):  # the engine may have rolled back by itself; the first error counts
                self.execute("ROLLBACK")
            raise

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a query as tuples; for small results."""
        table = self.fetch(sql, parameters)
        return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def check_encodable(sql: str, parameters: Sequence[Any]) -> None:
    """See to it that a query and its texts can be encoded: engines fail on others in ways of their own.

    Raises:
        QueryError: one of them has a lone surrogate.
    """
    for text in (sql, *parameters):
        try:
            if isinstance(text, str):
                text.encode()
        except UnicodeEncodeError as error:
            raise QueryError(f"the text {text[:80]!r} has a character that UTF-8 lacks: {error}") from error


def quote_name(name: str) -> str:
    """Quote an identifier.

    >>> quote_name('learning-rate')
    '"learning-rate"'
    """
    return '"' + name.replace('"', '""').replace("\x00", "\ufffd") + '"'


def quote_text(text: str) -> str:
    """Quote a text literal, for the definitions of views, which take no parameters.

    >>> quote_text("it's")
    "'it''s'"
    """
    return "'" + text.replace("'", "''").replace("\x00", "' || chr(0) || '") + "'"
