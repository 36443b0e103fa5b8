"""The transactions of the one writer: done again where they lose against others or the connection breaks."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from optiprov.errors import QueryError, StoreError
from optiprov.store.monetdb.session import Conflict, ConnectionLost, Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from optiprov.store.monetdb.owner import Ownership
    from optiprov.store.monetdb.readers import Readers

_ATTEMPTS = 12
_FIRST_PAUSE_S = 0.01
_LONGEST_PAUSE_S = 2.0
_RECONNECT_PAUSE_S = 0.5


class Transactions:
    """Runs the writer's steps in transactions. Owned by one thread, but for `interrupt`.

    A transaction is kept as a list of steps, none of which depends on what another has read. Where MonetDB
    aborts it, or the connection is lost, they are done again. Where the connection is lost during the commit,
    the mark of the transaction tells whether it is stored; for that the server is waited for, since whoever
    would do it again without knowing might store it twice.

    Args:
        ownership: the right to write.
        readers: the sessions of queries, which are held while a transaction is in trouble.
    """

    def __init__(self, ownership: Ownership, readers: Readers) -> None:
        self._ownership = ownership
        self._readers = readers
        self._steps: list[Callable[[Session], Any]] | None = None  # of the transaction that is open
        self._attempt = 0
        self._is_closing = threading.Event()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what the block does, or nothing of it.

        Raises:
            StoreError: the server is away or in trouble, or the transaction lost time and again.
        """
        self._steps = []
        self._attempt = 0
        try:
            with contextlib.suppress(ConnectionLost):
                self._ownership.session.rollback()
            yield
            self._commit()
        except BaseException:
            with contextlib.suppress(StoreError, QueryError):
                self._ownership.session.rollback()
            raise
        finally:
            self._steps = None
            self._readers.let_go()

    def do(self, step: Callable[[Session], Any]) -> None:
        """Do a step in the open transaction; without one, in a transaction of its own."""
        if self._steps is None:
            with self.transaction():
                self.do(step)
            return
        self._steps.append(step)
        try:
            step(self._ownership.session)
        except (Conflict, ConnectionLost):
            self._repeat()

    def interrupt(self) -> None:
        """Stop waiting for the server: the store is about to be closed."""
        self._is_closing.set()

    def close(self) -> None:
        """Give the database up."""
        self.interrupt()
        self._ownership.release()

    def _repeat(self) -> None:
        """Do the steps again, after a pause that grows from one time to the next."""
        self._readers.hold()
        reason: StoreError | None = None
        while self._attempt < _ATTEMPTS and not self._is_closing.is_set():
            self._attempt += 1
            time.sleep(min(_FIRST_PAUSE_S * 2**self._attempt, _LONGEST_PAUSE_S) * random.uniform(0.5, 1.0))
            try:
                self._ownership.renew()
                session = self._ownership.session
                session.rollback()
                for step in self._steps or ():
                    step(session)
            except (Conflict, ConnectionLost) as error:
                reason = error
            else:
                return
        if isinstance(reason, ConnectionLost):
            raise reason
        raise StoreError(
            f"{self._ownership.address.url}: the transaction lost against others {self._attempt} times."
            " A query that takes very long may be in its way."
        )

    def _commit(self) -> None:
        while True:
            try:
                mark = self._ownership.mark()
            except (Conflict, ConnectionLost):
                self._repeat()
                continue
            try:
                self._ownership.session.commit()
            except Conflict:
                self._repeat()
            except ConnectionLost:
                if self._is_stored(mark):
                    return
                self._repeat()
            else:
                return

    def _is_stored(self, mark: str) -> bool:
        """Find out whether a commit that was cut off is stored; wait for the server as long as that takes."""
        while True:
            try:
                self._ownership.renew()
                return self._ownership.last_mark() == mark
            except ConnectionLost:
                if self._is_closing.wait(_RECONNECT_PAUSE_S):
                    raise
