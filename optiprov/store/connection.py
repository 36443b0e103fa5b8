"""Opening provenance: a file or the service that owns it, a database, or a service."""

from __future__ import annotations

import os
import threading
import time
import weakref
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any

from optiprov.errors import ServiceUnavailable, StoreError, UrlError
from optiprov.store.provenance import Provenance
from optiprov.store.url import ENVIRONMENT_VARIABLE, StoreUrl, service_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from optiprov.store.remote import RemoteProvenance
    from optiprov.store.url import MonetDBAddress

STORE_NAME = "provenance.duckdb"
_RESTART_S = 3.0
_RETRY_S = 0.1


def connect(url: str | os.PathLike[str] | None = None) -> Provenance:
    """Open provenance for asking.

    A DuckDB file that a running service owns is asked through the service, whose address lies beside the
    file; without one the file is opened for each query and closed again.

    Args:
        url: `duckdb:///path`, a path, `monetdb://user:password@host:port/database`, or a service's
            `http://host:port` or `https://host:port?ca=/path`; by default OPTIPROV_STORE. A directory with a
            `provenance.duckdb`, such as a study's, stands for that file.

    Raises:
        UrlError: there is no address, it cannot be understood, or it is a directory without a store.
        NoStoreError: there is no such file, or no provenance in the database.
        StoreError: no MonetDB answers, or it does not let us in.
    """
    text = os.fspath(url) if url is not None else os.environ.get(ENVIRONMENT_VARIABLE, "")
    if not text:
        raise UrlError(f"Which store? Give its URL or path (--store), or set {ENVIRONMENT_VARIABLE}.")
    parsed = StoreUrl.parse(text)
    if parsed.kind == "http":
        from optiprov.store.remote import RemoteProvenance

        return RemoteProvenance(parsed.location)
    if parsed.kind == "monetdb":
        return MonetDBProvenance(parsed.monetdb)
    path = store_file(parsed.path)
    if not path.exists():
        from optiprov.store.opening import no_such_store

        raise no_such_store(path)
    return FileProvenance(path)


def store_file(path: Path) -> Path:
    """Return the file that a path stands for: itself, or the store in a directory.

    Raises:
        UrlError: it is a directory without a store.
    """
    if not path.is_dir():
        return path
    inside = path / STORE_NAME
    if not inside.exists():
        raise UrlError(
            f"{path} is a directory without a {STORE_NAME}. Give the file of a store, or a study's directory."
        )
    return inside


def owner_of(store: StoreUrl) -> RemoteProvenance | None:
    """Return the service that owns a file or a database; None where none answers.

    Raises:
        StoreError: no MonetDB answers, or it does not let us in.
    """
    if store.kind == "monetdb":
        from optiprov.store.monetdb.owner import owning_service as owner_of_database

        return owner_of_database(store.monetdb)
    from optiprov.store.remote import owning_service as owner_of_file

    return owner_of_file(store.path)


class MonetDBProvenance(Provenance):
    """The provenance in a MonetDB database, which serves any number of readers beside the one service.

    Args:
        address: the database.

    Raises:
        NoStoreError: it holds no provenance.
        StoreError: no server answers, or it does not let us in.
    """

    def __init__(self, address: MonetDBAddress) -> None:
        from optiprov.store.monetdb import MonetDBBackend

        self._backend = MonetDBBackend(address, read_only=True)
        self._finalizer = weakref.finalize(self, self._backend.close)

    def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> pa.Table:
        """Run one query in a session of its own."""
        return self._backend.fetch(sql, parameters)

    def close(self) -> None:
        """End the sessions; also done when the object goes."""
        self._finalizer()


class FileProvenance(Provenance):
    """The provenance in a DuckDB file, through the service that owns it where one runs.

    While such a service is started again, it owns the file and does not answer yet: that is waited for.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._service: RemoteProvenance | None = None
        self._kept = threading.local()

    def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> pa.Table:
        """Ask the service that owns the file; without one open the file, ask, and close it."""
        deadline = time.monotonic() + _RESTART_S
        while True:
            table = self._ask_service(sql, parameters)
            if table is not None:
                return table
            try:
                return self._ask_file(sql, parameters)
            except StoreError:
                if not service_file(self._path).exists() or time.monotonic() > deadline:
                    raise
            time.sleep(_RETRY_S)

    def _ask_service(self, sql: str, parameters: Sequence[Any]) -> pa.Table | None:
        from optiprov.store.remote import owning_service

        service = self._service or owning_service(self._path)
        self._service = None
        if service is None:
            return None
        try:
            table = service.fetch(sql, parameters)
        except ServiceUnavailable:
            return None  # it ended a moment ago, or was killed: the file is free
        self._service = service
        return table

    def _ask_file(self, sql: str, parameters: Sequence[Any]) -> pa.Table:
        from optiprov.store.duckdb import DuckDBBackend

        opened: ExitStack | None = getattr(self._kept, "opened", None)
        if opened is None:
            with closing(DuckDBBackend(self._path, read_only=True)) as backend:
                return backend.fetch(sql, parameters)
        if self._kept.backend is None:
            self._kept.backend = opened.enter_context(closing(DuckDBBackend(self._path, read_only=True)))
        return self._kept.backend.fetch(sql, parameters)

    @contextmanager
    def _asking(self) -> Iterator[Callable[..., pa.Table]]:
        """Have this thread open the file once for the block: that takes longer than a small query."""
        with ExitStack() as opened:
            self._kept.opened, self._kept.backend = opened, None
            try:
                yield self.fetch
            finally:
                self._kept.opened = self._kept.backend = None
