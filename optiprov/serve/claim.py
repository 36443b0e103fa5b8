"""A service's claim to a store: opening it as its owner, and telling others where the owner is."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from optiprov.errors import UrlError
from optiprov.store import StoreUrl, service_file
from optiprov.store.connection import store_file
from optiprov.store.duckdb import DuckDBBackend

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import ExitStack
    from pathlib import Path

    from optiprov.store.backend import Backend
    from optiprov.store.monetdb import MonetDBBackend
    from optiprov.store.url import MonetDBAddress


class Claim(ABC):
    """A service's claim to a store.

    Attributes:
        url: of the store, without a password.
    """

    url: str

    @abstractmethod
    def open(self) -> Backend:
        """Open the store as its owner; again where it is closed or out of order.

        Raises:
            StoreError: it cannot be opened, or another service owns it.
        """

    @abstractmethod
    def announce(self, addresses: Mapping[str, Any]) -> None:
        """Let others who name the store find the service; called before anything is committed."""

    def withdraw(self) -> None:  # noqa: B027 - where the announcement goes with the store there is nothing to do
        """Take the announcement back."""

    def undo_on_failure(self, undo: ExitStack) -> None:  # noqa: B027 - a database is never made
        """Have a store go that was made by opening it; it goes while it is open."""


def claim_store(store: StoreUrl, made: ExitStack) -> Claim:
    """Return the claim to a store.

    Args:
        store: a DuckDB file or a MonetDB database.
        made: gets what removes directories that have been made for it.

    Raises:
        UrlError: it is neither.
    """
    if store.kind == "monetdb":
        return _DatabaseClaim(store.monetdb)
    if store.kind == "duckdb":
        return _FileClaim(store_file(store.path), made)
    raise UrlError(
        "A service owns a store: give --store duckdb:///path or monetdb://user:password@host/database,"
        f" got {store}."
    )


class _FileClaim(Claim):
    def __init__(self, path: Path, made: ExitStack) -> None:
        self.url = f"duckdb://{path}"
        self._path = path
        _make_directory(path.parent, made)
        self._is_new = not path.exists()

    def open(self) -> Backend:
        return DuckDBBackend(self._path)

    def announce(self, addresses: Mapping[str, Any]) -> None:
        _write_atomically(service_file(self._path), json.dumps(addresses))

    def withdraw(self) -> None:
        service_file(self._path).unlink(missing_ok=True)

    def undo_on_failure(self, undo: ExitStack) -> None:
        if self._is_new:  # it is open, and so owned: nobody else can have begun to use it
            undo.callback(self._path.unlink, missing_ok=True)


class _DatabaseClaim(Claim):
    """The announcement is in the database, for as long as the session of the owner lives."""

    def __init__(self, address: MonetDBAddress) -> None:
        self.url = address.url
        self._address = address
        self._backend: MonetDBBackend | None = None
        self._http: str | None = None

    def open(self) -> Backend:
        from optiprov.store.monetdb import MonetDBBackend

        self._backend = MonetDBBackend(self._address)
        if self._http is not None:
            self._backend.announce(self._http)
        return self._backend

    def announce(self, addresses: Mapping[str, Any]) -> None:
        self._http = str(addresses["http"])
        if self._backend is not None:
            self._backend.announce(self._http)


def _make_directory(directory: Path, undo: ExitStack) -> None:
    missing = [one for one in (directory, *directory.parents) if not one.exists()]
    for one in reversed(missing):
        one.mkdir(exist_ok=True)
        undo.callback(_remove_empty, one)


def _remove_empty(directory: Path) -> None:
    with suppress(OSError):  # something has been put into it
        directory.rmdir()


def _write_atomically(path: Path, text: str) -> None:
    beside = path.with_name(path.name + ".tmp")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
