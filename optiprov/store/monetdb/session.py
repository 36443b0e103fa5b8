"""One session with a MonetDB server, and what its errors mean."""

from __future__ import annotations

import contextlib
import datetime
import logging
import re
import socket
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pymonetdb
from pymonetdb.filetransfer import Uploader
from pymonetdb.sql import pythonize
from pymonetdb.sql.cursors import Cursor

from optiprov.errors import QueryError, StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from optiprov.store.url import MonetDBAddress

# What it logs of a failure, our errors say: without a handler it would be on the terminal as well.
logging.getLogger(pymonetdb.__name__).addHandler(logging.NullHandler())

SCHEMA = "main"
"""The schema of the views that users name without one."""
_CONNECT_TIMEOUT_S = 5
_ROWS_AT_ONCE = 10_000
_CONFLICT = re.compile(
    r"^4000[01]!|conflict|(update|delete|append|insert) failed$", re.IGNORECASE | re.MULTILINE
)
_INTERRUPTED = re.compile(r"^HYT00!")
_TROUBLE = re.compile(r"^(HY|25005|08)|GDK reported|could not allocate|disk|too many", re.IGNORECASE)
_NOT_UNDERSTOOD = re.compile(
    r"^(3F000|42S02|42S22)!|^42000!(syntax error|SELECT: identifier |JOIN: tables .* matching column )"
)
_STARTING = "Scenario not initialized"
_STATE = re.compile(r"^[0-9A-Z]{5}!")


class ConnectionLost(StoreError):
    """The session has ended: the server went away, or the network."""


class Conflict(StoreError):
    """Another transaction has changed the same at the same time."""


class NotUnderstood(QueryError):
    """The statement has names that MonetDB does not know, or is none of its SQL."""


class Session:
    """A session, in a transaction of its own from the first statement to commit or rollback.

    Args:
        address: the database.

    Raises:
        StoreError: nobody answers there, or the user, password or database is wrong.
    """

    def __init__(self, address: MonetDBAddress) -> None:
        self.address = address
        try:
            self._connection = pymonetdb.connect(
                address.database,
                hostname=address.host,
                port=address.port,
                username=address.user,
                password=address.password,
                autocommit=False,
                timezone=0,
                connect_timeout=_CONNECT_TIMEOUT_S,
                replysize=_ROWS_AT_ONCE,
            )
        except OSError as error:
            raise ConnectionLost(
                f"{address.url}: no MonetDB answers: {error}. Start it, or give another --store."
            ) from error
        except pymonetdb.Error as error:
            if _STARTING in str(error):
                raise ConnectionLost(f"{address.url}: MonetDB is about to start. Try again.") from error
            raise StoreError(
                f"{address.url}: MonetDB does not let us in: {_words(error)}."
                " Check user, password and database: monetdb://user:password@host:port/database."
            ) from error
        self._connection.settimeout(None)
        self._uploads = _Uploads()
        self._connection.set_uploader(self._uploads)
        self.id = int(self.rows("SELECT sys.current_sessionid()")[0][0])
        if self.rows(f"SELECT 1 FROM sys.schemas WHERE name = '{SCHEMA}'"):
            self.run(f'SET SCHEMA "{SCHEMA}"')
        self.rollback()

    def run(self, text: str) -> int:
        """Run a statement and return how many rows it has changed.

        Raises:
            QueryError: MonetDB refuses it.
            Conflict: it lost against another transaction.
            ConnectionLost: the server has gone.
            StoreError: the server is in trouble.
        """
        with self._mapped_errors():
            cursor = self._connection.cursor()
            cursor.execute(text)
            return int(cursor.rowcount)

    def fetch(self, text: str, written: Mapping[str, str] | None = None) -> pa.Table:
        """Run a query and return its rows; `written` has names to give back to its columns."""
        with self._mapped_errors():
            cursor = _Cursor(self._connection)
            cursor.execute(text)
            columns = [
                (_column_name(one.name, written or {}), one.type_code) for one in cursor.description or ()
            ]
            return _to_arrow(columns, cursor.fetchall() if columns else [])

    def rows(self, text: str) -> list[tuple[Any, ...]]:
        """Run a query and return its rows as tuples."""
        table = self.fetch(text)
        return list(zip(*(column.to_pylist() for column in table.columns), strict=True))

    def upload(self, text: str, files: Mapping[str, memoryview | bytes]) -> int:
        """Run a COPY INTO ... ON CLIENT, which asks for these files."""
        self._uploads.files = files
        try:
            return self.run(text)
        finally:
            self._uploads.files = {}

    def commit(self) -> None:
        """Commit."""
        with self._mapped_errors():
            self._connection.commit()

    def rollback(self) -> None:
        """Roll back; also where the transaction is broken already."""
        with self._mapped_errors():
            self._connection.rollback()

    def close(self) -> None:
        """End the session."""
        with contextlib.suppress(pymonetdb.Error, OSError, AttributeError):
            self._connection.close()

    def interrupt(self) -> None:
        """Cut the session off, from another thread: what waits for the server fails with ConnectionLost."""
        with contextlib.suppress(OSError, AttributeError):  # it is closed already
            self._connection.mapi.sock.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def _mapped_errors(self) -> Any:
        if self._connection.mapi is None:
            raise ConnectionLost(f"{self.address.url}: the connection is lost")
        try:
            yield
        except (OSError, EOFError) as error:
            raise ConnectionLost(f"{self.address.url}: the connection is lost: {error}") from error
        except pymonetdb.Error as error:
            raise self._meaning(error) from error

    def _meaning(self, error: pymonetdb.Error) -> Exception:
        words = str(error)
        if _NOT_UNDERSTOOD.search(words):  # first: names in it may be any words, those of trouble among them
            return NotUnderstood(_words(error))
        if _INTERRUPTED.search(words):
            return ConnectionLost(f"{self.address.url}: the query was stopped")
        if _CONFLICT.search(words):
            return Conflict(_words(error))
        if "Not connected" in words or "connection closed" in words:
            return ConnectionLost(f"{self.address.url}: the connection is lost")
        if _TROUBLE.search(words) or not _STATE.match(words):
            return StoreError(f"{self.address.url}: MonetDB is in trouble: {_words(error)}")
        return QueryError(_words(error))


class _Uploads(Uploader):  # type: ignore[misc]  # pymonetdb is not typed throughout
    """Hands to the server what we have named, and no files."""

    def __init__(self) -> None:
        self.files: Mapping[str, memoryview | bytes] = {}

    def handle_upload(self, upload: Any, filename: str, text_mode: bool, skip_amount: int) -> None:  # noqa: ARG002, FBT001
        """Answer the server's request."""
        if filename not in self.files:
            upload.send_error("there is no such upload")
        else:
            upload.binary_writer().write(self.files[filename])


class _Cursor(Cursor):  # type: ignore[misc]  # pymonetdb is not typed throughout
    """A cursor that reads texts as they were written.

    The server escapes the bytes of what cannot be printed one by one; pymonetdb takes each for a character.
    """

    def _parse_tuple(self, line: str) -> tuple[Any, ...]:
        cells = line[1:-1].split(",\t")
        return tuple(
            _unescaped(cell)
            if cell[:1] == '"'
            else None
            if cell == "NULL"
            else pythonize.convert(cell, column.type_code)
            for cell, column in zip(map(str.strip, cells), self.description, strict=True)
        )


def _unescaped(cell: str) -> str:
    if "\\" not in cell:
        return cell[1:-1]
    return _ESCAPE.sub(_escaped_byte, cell[1:-1].encode()).decode()


def _escaped_byte(escape: re.Match[bytes]) -> bytes:
    code = escape[1]
    return bytes([int(code, 8)]) if len(code) == 3 else _LETTERS.get(code, code)


_ESCAPE = re.compile(rb"\\([0-7]{3}|.)", re.DOTALL)
_LETTERS = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"f": b"\f"}


def _words(error: Exception) -> str:
    """Return what MonetDB says, in one line and without its codes."""
    lines = [_STATE.sub("", line.removeprefix("!")) for line in str(error).splitlines()]
    return "; ".join(line.strip() for line in lines if line.strip()).rstrip(".") or type(error).__name__


def _column_name(name: str, written: Mapping[str, str]) -> str:
    """Return a column's name as it was written: the protocol puts quotes around some."""
    bare = name[1:-1] if len(name) > 1 and name[0] == name[-1] == '"' else name
    return written.get(bare, bare)


def _to_arrow(columns: list[tuple[str, str]], rows: list[tuple[Any, ...]]) -> pa.Table:
    import pyarrow as pa

    values = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    arrays = [_array(kind, column) for (_, kind), column in zip(columns, values, strict=True)]
    return pa.Table.from_arrays(arrays, names=[name for name, _ in columns])


def _array(kind: str, values: tuple[Any, ...]) -> pa.Array:
    import pyarrow as pa

    types = {
        **dict.fromkeys(("tinyint", "smallint", "int", "bigint"), pa.int64()),
        **dict.fromkeys(("double", "real"), pa.float64()),
        **dict.fromkeys(("clob", "varchar", "char", "json", "uuid", "url", "inet"), pa.string()),
        "boolean": pa.bool_(),
        "date": pa.date32(),
        "timestamp": pa.timestamp("us"),
    }
    if kind in ("hugeint", "decimal"):
        values = tuple(None if value is None else Decimal(value) for value in values)
        return (
            pa.array(values) if any(value is not None for value in values) else pa.array(values, pa.float64())
        )
    if kind == "timestamptz":
        return pa.array([_utc(value) for value in values], pa.timestamp("us"))
    return pa.array(values, types.get(kind)) if kind in types else pa.array(values)


def _utc(value: datetime.datetime | None) -> datetime.datetime | None:
    return None if value is None else value.astimezone(datetime.timezone.utc).replace(tzinfo=None)
