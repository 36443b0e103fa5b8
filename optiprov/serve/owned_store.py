"""The store that a service owns: its database, its writer, and opening it again when it is out of order."""

from __future__ import annotations

import datetime
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from optiprov.errors import StoreError
from optiprov.serve.heartbeat import Heartbeats
from optiprov.store.closing import close_study
from optiprov.store.opened import OpenedProvenance
from optiprov.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from optiprov.store.backend import Backend

_log = logging.getLogger(__name__)

_PROBE = "SELECT count(*) FROM prov.client"


class OwnedStore(OpenedProvenance):
    """An open store, written by one thread and asked by any.

    `writer` and `heartbeats` belong to the writing thread.

    A DuckDB whose checkpoint failed (a full disk) refuses everything until it is opened again, which
    `reopen` does: what had been committed is there, and the writer reads its marks anew.

    Args:
        open_backend: opens the database.

    Raises:
        StoreError: it cannot be opened.
    """

    def __init__(self, open_backend: Callable[[], Backend]) -> None:
        self._open_backend = open_backend
        self._is_closed = False
        backend, self.writer, self.heartbeats = self._open()
        super().__init__(backend)

    def _open(self) -> tuple[Backend, Writer, Heartbeats]:
        backend = self._open_backend()
        try:
            writer = Writer(backend)
            return backend, writer, Heartbeats(backend, writer)
        except BaseException:
            backend.close()
            raise

    def answers(self) -> bool:
        """Whether the database can be asked at all."""
        try:
            self._backend.rows(_PROBE)
        except Exception:  # noqa: BLE001 - engines raise anything once they are out of order
            return False
        return True

    def reopen(self) -> None:
        """Close the database and open it again, with a new writer.

        Raises:
            StoreError: it cannot be opened, for instance since there is no room still.
        """
        with suppress(Exception):  # it is out of order
            self._backend.close()
        if self._is_closed:
            raise StoreError("the service is stopping")
        try:
            self._backend, self.writer, self.heartbeats = self._open()
        except StoreError:
            raise
        except Exception as error:
            raise StoreError(str(error)) from error

    def close_study(self, study: str, reason: str) -> None:
        """Record that a study has stopped, where it has not said that it ended; for the writing thread."""
        utc = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
        try:
            close_study(self._backend, study, reason, utc)
        except self._backend.faults as error:  # a full disk, say
            _log.warning("that study %s has stopped cannot be stored: %s", study, error)

    def interrupt(self) -> None:
        """Interrupt the queries that run, and refuse others: the store is about to be closed."""
        self._is_closed = True
        self._backend.interrupt()

    def close(self) -> None:
        """Close the database."""
        self._is_closed = True
        self._backend.close()
