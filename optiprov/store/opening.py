"""What stands in the way of opening a DuckDB file as a store, in our words, with what to do."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

import duckdb

from optiprov.errors import NoStoreError, OptiprovError, StoreError
from optiprov.store.url import service_file

if TYPE_CHECKING:
    from pathlib import Path

_MAGIC = slice(8, 12)
_DUCKDB = b"DUCK"
_SQLITE = b"SQLite format 3"
_START_BYTES = 512
_OWNER = re.compile(r"Conflicting lock is held in (.*?) ?\(PID (\d+)\)", re.DOTALL)
_GIVE = "Give the file of a store, such as results/<study>/provenance.duckdb, or the address of a service."


def no_such_store(path: Path) -> NoStoreError:
    """Return the error for a file that is not there."""
    return NoStoreError(
        f"{path}: there is no such store. Run an optimization or `optiprov serve` to make one."
    )


def check_file(path: Path, *, read_only: bool) -> None:
    """See to it that a path may be opened as a store: it is not left to DuckDB, which would try SQLite too.

    Raises:
        NoStoreError: it is absent and to be read only, or something else than a DuckDB file.
    """
    if path.is_dir():
        raise NoStoreError(f"{path}: it is a directory. Give a file, such as {path / 'provenance.duckdb'}")
    if not path.exists():
        if read_only:
            raise no_such_store(path)
        if not path.parent.is_dir():
            raise NoStoreError(f"{path}: there is no directory {path.parent}. Make it, or give another file.")
        return
    if not path.is_file():
        raise NoStoreError(f"{path}: it is no store, but a device or a pipe. {_GIVE}")
    try:
        with path.open("rb") as file:
            start = file.read(_START_BYTES)
    except OSError as error:
        raise StoreError(f"{path}: the store cannot be opened: {error.strerror}.") from error
    if start[_MAGIC] != _DUCKDB:
        raise NoStoreError(f"{path}: it is no store, but {_what_begins(start)}. {_GIVE}")


def not_opened(path: Path, error: duckdb.Error) -> OptiprovError:
    """Return the error for a file that DuckDB does not open, or in which there is no provenance."""
    owner = _OWNER.search(str(error))
    if owner is not None:
        return StoreError(f"{path}: {_who_owns(path, owner[1], int(owner[2]))}")
    if isinstance(error, duckdb.CatalogException):
        return NoStoreError(f"{path}: it is no store, but a DuckDB file without provenance. {_GIVE}")
    if not os.access(path if path.exists() else path.parent, os.W_OK) and "Permission" in str(error):
        return StoreError(f"{path}: the store cannot be opened: this user may not write it.")
    return StoreError(f"{path}: the store cannot be opened: {str(error).splitlines()[0]}")


def _what_begins(start: bytes) -> str:
    if not start:
        return "an empty file"
    if start.startswith(_SQLITE):
        return "an SQLite database"
    text = start.decode("utf-8", "ignore")  # a character may be cut off at the end
    is_text = len(text.encode()) > len(start) - 4 and all(one.isprintable() or one.isspace() for one in text)
    return "a text file" if is_text else "some other file"


def _who_owns(path: Path, program: str, pid: int) -> str:
    try:
        addresses = json.loads(service_file(path).read_text(encoding="utf-8"))
        is_service, address = addresses["pid"] == pid, addresses["http"]
    except (OSError, ValueError, KeyError, TypeError):
        is_service, address = False, ""
    if is_service:
        return f"the service {address} owns it (pid {pid}). Use --store {address}, or stop it."
    return (
        f"another process owns the store: {program} (PID {pid}), and it is no service that can be asked."
        " Wait until it ends, or stop it first."
    )
