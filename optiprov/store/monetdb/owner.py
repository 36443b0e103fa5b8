"""Who writes to a MonetDB database: one service at a time, for as long as its session lives.

`prov.owner` has one row. Its session is the proof of life: MonetDB ends it when the process of the service is
gone, however that went, and the database is free for the next. In the same row each transaction of the owner
leaves a mark, by which it finds out what became of a commit that was cut off, and which no one else can
write at the same time.
"""

from __future__ import annotations

import contextlib
import math
import os
import platform
import time
import uuid
from typing import TYPE_CHECKING

import numpy as np

from optiprov.errors import CredentialsError, OptiprovError, QueryError, StoreError
from optiprov.store.monetdb.dialect import literal
from optiprov.store.monetdb.session import SCHEMA, Conflict, ConnectionLost, Session
from optiprov.store.remote import RemoteProvenance

if TYPE_CHECKING:
    from optiprov.store.url import MonetDBAddress

_PREPARE = (
    "CREATE SCHEMA IF NOT EXISTS prov",
    f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}",
    "CREATE TABLE IF NOT EXISTS prov.infinity (positive DOUBLE, negative DOUBLE)",
    """CREATE TABLE IF NOT EXISTS prov.owner
       (owner TEXT, session_id INTEGER, login TIMESTAMP, host TEXT, pid INTEGER, http TEXT, mark TEXT)""",
    # date_diff of DuckDB, for the one unit that the store uses, exact to the microsecond
    f"""CREATE OR REPLACE FUNCTION {SCHEMA}.date_diff(unit TEXT, earlier TIMESTAMP, later TIMESTAMP)
        RETURNS BIGINT BEGIN RETURN
        CASE WHEN unit = 'microsecond' THEN
            (epoch_ms(CAST(later AS DATE)) - epoch_ms(CAST(earlier AS DATE))) * 1000
            + ((EXTRACT(HOUR FROM later) - EXTRACT(HOUR FROM earlier)) * 3600
            + (EXTRACT(MINUTE FROM later) - EXTRACT(MINUTE FROM earlier)) * 60) * 1000000
            + CAST((EXTRACT(SECOND FROM later) - EXTRACT(SECOND FROM earlier)) * 1000000 AS BIGINT)
        END; END""",
)
_DEATH_S = 2.0  # how long MonetDB may take to notice that a client has been killed
_LOOK_S = 0.1
_LOGIN = "(SELECT login FROM sys.sessions WHERE sessionid = sys.current_sessionid())"


def prepare(session: Session) -> None:
    """Make what the backend itself needs, where it is absent."""
    known = session.rows(
        "SELECT 1 FROM sys.tables t JOIN sys.schemas s ON s.id = t.schema_id"
        " WHERE s.name = 'prov' AND t.name = 'owner'"
    )
    if not known:
        for statement in _PREPARE:
            session.run(statement)
        # COPY INTO reads no infinity from text, nor does SQL have a word for it: it comes in as bytes.
        files = {name: np.array([value]).tobytes() for name, value in (("p", math.inf), ("n", -math.inf))}
        session.upload("COPY LITTLE ENDIAN BINARY INTO prov.infinity FROM 'p', 'n' ON CLIENT", files)
        session.run("INSERT INTO prov.owner (owner) VALUES (NULL)")
    session.commit()
    session.run(f'SET SCHEMA "{SCHEMA}"')
    session.commit()


class Ownership:
    """The right to write to a database.

    Args:
        session: the session that writes.

    Raises:
        StoreError: another service owns the database.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.address = session.address
        self._owner = uuid.uuid4().hex
        self._http: str | None = None
        self._mark = ""
        self._seize()

    def renew(self) -> None:
        """Connect again where the session is lost, and own the database as before.

        Raises:
            ConnectionLost: the server does not answer.
            StoreError: another service owns the database by now.
        """
        try:
            self.session.rollback()
        except ConnectionLost:
            self.session.close()
            self.session = Session(self.session.address)
            self._seize()

    def _seize(self) -> None:
        try:
            self._check_free()
            self.session.run(
                f"UPDATE prov.owner SET owner = {literal(self._owner)}, session_id = sys.current_sessionid(),"
                f" login = {_LOGIN}, host = {literal(platform.node())}, pid = {os.getpid()},"
                f" http = {literal(self._http)}"
            )
            self.session.commit()
        except Conflict as error:
            raise StoreError(
                f"{self.session.address.url}: another service has begun to own it at this moment."
            ) from error

    def _check_free(self) -> None:
        row = _living_owner(self.session)
        deadline = time.monotonic() + _DEATH_S
        while row is not None and row[0] != self._owner and time.monotonic() < deadline:
            # In a session that stays, MonetDB may show another for ever that was killed in a transaction.
            self.session.close()
            time.sleep(_LOOK_S)
            self.session = Session(self.address)
            row = _living_owner(self.session)
        if row is not None and row[0] != self._owner:
            self.session.close()
            _, http, host, pid = row
            where = f"the service {http} owns it" if http else "a service owns it"
            use = f"Use --store {http}, or stop it." if http else "Stop it first."
            raise StoreError(f"{self.address.url}: {where} (on {host}, pid {pid}). {use}")

    def announce(self, http: str) -> None:
        """Say where the service that owns the database is reached."""
        self._http = http
        self.session.run(f"UPDATE prov.owner SET http = {literal(http)} WHERE owner = {literal(self._owner)}")
        self.session.commit()

    def mark(self) -> str:
        """Leave the mark of the open transaction, and return it.

        Raises:
            StoreError: another service owns the database by now.
        """
        self._mark = uuid.uuid4().hex
        changed = self.session.run(
            f"UPDATE prov.owner SET mark = '{self._mark}' WHERE owner = {literal(self._owner)}"
        )
        if changed != 1:
            raise StoreError(f"{self.session.address.url}: another service owns it by now.")
        return self._mark

    def last_mark(self) -> str | None:
        """Return the mark of the last transaction that is stored."""
        ((mark,),) = self.session.rows("SELECT mark FROM prov.owner")
        self.session.rollback()
        return None if mark is None else str(mark)

    def release(self) -> None:
        """Give the database up, and end the session."""
        with contextlib.suppress(StoreError, QueryError):
            self.session.rollback()
            self.session.run(
                f"UPDATE prov.owner SET owner = NULL, session_id = NULL, http = NULL"
                f" WHERE owner = {literal(self._owner)}"
            )
            self.session.commit()
        self.session.close()


def _living_owner(session: Session) -> tuple[str, str | None, str, int] | None:
    rows = session.rows(
        "SELECT o.owner, o.http, o.host, o.pid FROM prov.owner o"
        " JOIN sys.sessions s ON s.sessionid = o.session_id AND s.login = o.login WHERE o.owner IS NOT NULL"
    )
    return (rows[0][0], rows[0][1], rows[0][2], rows[0][3]) if rows else None


def owning_service(address: MonetDBAddress) -> RemoteProvenance | None:
    """Return the service that owns a database; None where there is none, or it does not answer from here.

    Raises:
        StoreError: no server answers, or it does not let us in.
    """
    session = Session(address)
    try:
        known = session.rows(
            "SELECT 1 FROM sys.tables t JOIN sys.schemas s ON s.id = t.schema_id"
            " WHERE s.name = 'prov' AND t.name = 'owner'"
        )
        owner = _living_owner(session) if known else None
    finally:
        session.close()
    if owner is None or owner[1] is None:
        return None
    service = RemoteProvenance(owner[1])
    try:
        if service.health().get("store") == address.url:
            return service
    except CredentialsError:
        return service  # its answers will say what is missing
    except OptiprovError:
        pass  # it is about to start or to end, or listens on another host's loopback
    service.close()
    return None
