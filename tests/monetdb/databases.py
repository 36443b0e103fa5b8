"""The MonetDB that tests run on: a server of their own, or one that is named, emptied for each test."""

import os
import subprocess

import pytest

from optiprov.store.backend import quote_name
from optiprov.store.monetdb.session import Session
from optiprov.store.url import MonetDBAddress
from tests.monetdb import engine
from tests.monetdb.server import MonetDBServer

VARIABLE = "OPTIPROV_TEST_MONETDB"


def require_engine():
    """Have the engine there; without it a test fails in CI, and is skipped elsewhere."""
    try:
        engine.fetch()
    except (OSError, subprocess.CalledProcessError) as error:
        missing = (
            f"no MonetDB to test on: {error}; `python -m tests.monetdb.engine` says what it takes,"
            f" {VARIABLE} names a server in its place"
        )
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)


@pytest.fixture(scope="session")
def monetdb_server(tmp_path_factory):
    """A server for the tests of this process; None where the environment names one."""
    if os.environ.get(VARIABLE):
        yield None
        return
    require_engine()
    server = MonetDBServer(tmp_path_factory.mktemp("monetdb") / "provenance")
    yield server
    server.kill()


@pytest.fixture
def monetdb_url(monetdb_server):
    """The URL of a database without anything in it."""
    url = os.environ[VARIABLE] if monetdb_server is None else monetdb_server.url
    empty(url)
    return url


def empty(url):
    """Drop all that a database has beside what is MonetDB's own."""
    session = Session(MonetDBAddress.parse(url))
    session.run("SET SCHEMA sys")
    for (name,) in session.rows("SELECT name FROM sys.schemas WHERE NOT system"):
        session.run(f"DROP SCHEMA {quote_name(name)} CASCADE")
    session.commit()
    session.close()
