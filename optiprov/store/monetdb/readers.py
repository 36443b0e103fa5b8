"""The sessions that queries run in: a small pool, each query in a transaction of its own."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from optiprov.errors import QueryError, StoreError
from optiprov.store.monetdb.session import ConnectionLost, Session

if TYPE_CHECKING:
    import pyarrow as pa

    from optiprov.store.monetdb.dialect import Statement
    from optiprov.store.url import MonetDBAddress

_IDLE_SESSIONS = 4
_HOLD_S = 5.0


class Readers:
    """Sessions that ask. Thread-safe.

    Args:
        address: the database.
    """

    def __init__(self, address: MonetDBAddress) -> None:
        self._address = address
        self._idle: list[Session] = []
        self._busy: set[Session] = set()
        self._change = threading.Condition()
        self._is_held = False
        self._is_closed = False

    def ask(self, statement: Statement, timeout_s: float | None = None) -> pa.Table:
        """Run one query, and roll back what it may have done.

        Raises:
            QueryError: MonetDB refuses it.
            TimeoutError: it took longer than allowed; it has been cut off.
            StoreError: the server is away, or the store is closed.
        """
        session, is_used = self._take()
        try:
            return self._ask(session, statement, timeout_s)
        except ConnectionLost:
            if not is_used or self._is_closed:
                raise
        return self._ask(self._make(), statement, timeout_s)  # the server has been started again meanwhile

    def _ask(self, session: Session, statement: Statement, timeout_s: float | None) -> pa.Table:
        overdue = threading.Event()
        timer = None
        if timeout_s is not None:
            timer = threading.Timer(timeout_s, self._stop, (session, overdue))
            timer.start()
        is_sound = False
        try:
            try:
                return session.fetch(statement.text, statement.written)
            finally:
                session.rollback()
                is_sound = True
        except ConnectionLost as error:
            if overdue.is_set():
                raise TimeoutError(f"the query was interrupted (after {timeout_s} s)") from error
            if self._is_closed:
                raise StoreError("the store is closed") from error
            raise
        finally:
            if timer is not None:
                timer.cancel()
            self._give_back(session, is_sound=is_sound and not overdue.is_set())

    def _take(self) -> tuple[Session, bool]:
        with self._change:
            self._change.wait_for(lambda: not self._is_held or self._is_closed, 2 * _HOLD_S)
            self._check_open()
            if self._idle:
                session = self._idle.pop()
                self._busy.add(session)
                return session, True
        return self._make(), False

    def _make(self) -> Session:
        session = Session(self._address)
        with self._change:
            try:
                self._check_open()
            except StoreError:
                session.close()
                raise
            self._busy.add(session)
        return session

    def _check_open(self) -> None:
        if self._is_closed:
            raise StoreError("the store is closed")

    def _give_back(self, session: Session, *, is_sound: bool) -> None:
        with self._change:
            self._busy.discard(session)
            if is_sound and not self._is_closed and len(self._idle) < _IDLE_SESSIONS:
                self._idle.append(session)
            else:
                session.close()
            self._change.notify_all()

    def _stop(self, session: Session, overdue: threading.Event) -> None:
        """Cut off a session whose query takes too long, and tell the server to stop the query."""
        overdue.set()
        session.interrupt()
        with contextlib.suppress(StoreError, QueryError):
            other = Session(self._address)
            try:
                other.run(f"CALL sys.stopsession({session.id})")
                other.commit()
            finally:
                other.close()

    def hold(self) -> None:
        """Let no query begin, and wait a while for those that run.

        MonetDB of 2021 refuses to commit a change of a table while anybody reads who began before the last
        rows came into it, so that queries at short intervals could keep a new attribute out for long.
        """
        with self._change:
            self._is_held = True
            self._change.wait_for(lambda: not self._busy, _HOLD_S)

    def let_go(self) -> None:
        """Let queries begin again."""
        with self._change:
            self._is_held = False
            self._change.notify_all()

    def interrupt(self) -> None:
        """Cut off the queries that run, and refuse others."""
        with self._change:
            self._is_closed = True
            busy = list(self._busy)
            self._change.notify_all()
        for session in busy:
            self._stop(session, threading.Event())

    def close(self) -> None:
        """Cut off the queries that run, and end all sessions."""
        self.interrupt()
        with self._change:
            idle, self._idle = self._idle, []
        for session in idle:
            session.close()
