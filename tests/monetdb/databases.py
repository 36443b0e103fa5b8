"""The MonetDB that tests run on: a server of their own, or one that is named, emptied for each test."""

import contextlib
import fcntl
import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from optiprov.store.backend import quote_name
from optiprov.store.monetdb.session import Session
from optiprov.store.url import MonetDBAddress
from tests.monetdb import engine
from tests.monetdb.server import MonetDBServer

VARIABLE = "OPTIPROV_TEST_MONETDB"


class NamedServer:
    """The server that the environment names: it can be written to, and neither killed nor started.

    Args:
        url: of the database.
    """

    is_ours = False

    def __init__(self, url):
        self.url = url


def named_url():
    """Return the URL of the database that the environment names, if it does."""
    return os.environ.get(VARIABLE) or None


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


def start_server(directory):
    """Start a server of a test's own, which it may kill; skip the test where the environment names one."""
    if named_url():
        pytest.skip(f"the test kills the server, and {VARIABLE} names one that is not ours to kill")
    require_engine()
    return MonetDBServer(directory)


@pytest.fixture(scope="session")
def monetdb_server(tmp_path_factory):
    """A server for the tests of this process; where the environment names one, that."""
    if url := named_url():
        yield NamedServer(url)
        return
    server = start_server(tmp_path_factory.mktemp("monetdb") / "provenance")
    yield server
    server.kill()


@pytest.fixture
def monetdb_url(monetdb_server):
    """The URL of a database without anything in it, which is the test's alone until its end."""
    with contextlib.nullcontext() if monetdb_server.is_ours else held(monetdb_server.url):
        empty(monetdb_server.url)
        yield monetdb_server.url


@contextlib.contextmanager
def held(url):
    """Keep the other processes of this machine's tests from a database, and wait for the one that has it."""
    name = hashlib.sha256(url.encode()).hexdigest()[:16]
    path = Path(tempfile.gettempdir()) / f"optiprov-test-monetdb-{os.getuid()}-{name}.lock"
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until the file is closed, by a kill of this process too
        yield


def empty(url):
    """Drop all that a database has beside what is MonetDB's own."""
    session = Session(MonetDBAddress.parse(url))
    session.run("SET SCHEMA sys")
    for (name,) in session.rows("SELECT name FROM sys.schemas WHERE NOT system"):
        session.run(f"DROP SCHEMA {quote_name(name)} CASCADE")
    session.commit()
    session.close()
