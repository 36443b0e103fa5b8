"""A store of another version: an older one becomes one of this or stays what it was, a newer one is refused.

The step to the next version is the tests' own.
"""

import signal
from pathlib import Path

import pytest

from optiprov.errors import StoreError
from optiprov.store import schema
from optiprov.store.duckdb import DuckDBBackend
from optiprov.store.schema import SINCE_VERSION, VERSION, migrate
from tests.store.conftest import Store, begin, end, item, run

ROOT = Path(__file__).parents[2]
COLUMNS = """SELECT "column" FROM prov.listing WHERE "schema" = 'prov' AND "view" = 'client'"""


def to_next_version(backend):
    """Give a table a column with values, and make another table."""
    backend.execute("ALTER TABLE prov.client ADD COLUMN zone TEXT")
    backend.execute("UPDATE prov.client SET zone = 'of ' || host")
    backend.execute("CREATE TABLE prov.site (zone TEXT)")
    backend.execute("INSERT INTO prov.site VALUES ('edge')")


def go_on_to(monkeypatch, step):
    """Have this version be one that the step leads to."""
    monkeypatch.setattr(schema, "VERSION", VERSION + 1)
    monkeypatch.setattr(schema, "_MIGRATIONS", {**schema._MIGRATIONS, VERSION: step})


def check_old(backend):
    """See to it that a store is as it was filled, and of the old version."""
    assert backend.rows("SELECT version FROM prov.schema_version") == [(VERSION,)]
    assert ("zone",) not in backend.rows(COLUMNS)
    assert not backend.has_table("prov", "site")
    assert backend.rows("SELECT x, train_task_id IS NULL FROM out") == [(1, False)]
    assert backend.rows("SELECT client_id FROM prov.client") == [("c",)]


@pytest.fixture
def filled(store):
    """A store of the present version with a task in it, closed."""
    store.commit(run(), end("a", item(x=1)))
    store.backend.close()


def test_empty_file_becomes_a_store(tmp_path):
    """The first migration makes all of it, and a second run of it nothing."""
    backend = DuckDBBackend(tmp_path / "new.duckdb")
    for _ in range(2):
        migrate(backend)
        assert backend.rows("SELECT version FROM prov.schema_version") == [(VERSION,)]
    backend.close()


@pytest.mark.usefixtures("filled")
def test_store_of_an_older_version_becomes_one_of_this(open_backend, monkeypatch):
    """What was in it is there, changed as the step says; the writer goes on, also after opening it again."""
    go_on_to(monkeypatch, to_next_version)
    store = Store(open_backend())
    assert store.rows("SELECT version FROM prov.schema_version") == [(VERSION + 1,)]
    assert store.rows("SELECT client_id, zone FROM prov.client") == [("c", "of host")]
    store.commit(begin("b"), end("b", item(x=2)), first=3)
    store.backend.close()
    again = Store(open_backend())
    assert again.rows("SELECT zone FROM prov.site") == [("edge",)]
    assert again.rows("SELECT x FROM out ORDER BY x") == [(1,), (2,)]
    assert again.writer.marks == {"c": 4}


@pytest.mark.usefixtures("filled")
def test_migration_that_fails_leaves_the_old_store_whole(open_backend, monkeypatch):
    """Whatever it did before is undone; a later one that works finds it as it was."""

    def fail(backend):
        to_next_version(backend)
        raise StoreError("the disk is full")

    backend = open_backend()
    with monkeypatch.context() as meanwhile:
        go_on_to(meanwhile, fail)
        with pytest.raises(StoreError, match="the disk is full"):
            migrate(backend)
    check_old(backend)
    go_on_to(monkeypatch, to_next_version)
    migrate(backend)
    assert backend.rows("SELECT client_id, zone FROM prov.client") == [("c", "of host")]


MIGRATE = """
import os, sys
sys.path.insert(0, sys.argv[2])
from optiprov.store import StoreUrl, schema
from optiprov.store.duckdb import DuckDBBackend
from optiprov.store.monetdb import MonetDBBackend
from tests.store.test_migrations import to_next_version

def die(backend):
    to_next_version(backend)
    os.kill(os.getpid(), 9)

schema._MIGRATIONS[schema.VERSION] = die
schema.VERSION += 1
url = StoreUrl.parse(sys.argv[1])
schema.migrate(MonetDBBackend(url.monetdb) if url.kind == "monetdb" else DuckDBBackend(url.path))
"""


@pytest.mark.usefixtures("filled")
def test_migration_that_is_killed_leaves_the_old_store_whole(store_url, open_backend, run_python):
    """SIGKILL in its midst: nothing of it is there, and the store is used as before."""
    run_python(MIGRATE, store_url, ROOT, status=-signal.SIGKILL)
    store = Store(open_backend())
    check_old(store.backend)
    store.commit(end("b", item(x=2)), first=3)
    assert store.rows("SELECT x FROM out ORDER BY x") == [(1,), (2,)]


def test_store_of_a_newer_version_is_refused(store):
    """The message says which versions, and what to do; nothing in it is changed."""
    store.backend.execute("UPDATE prov.schema_version SET version = ?", (VERSION + 1,))
    with pytest.raises(StoreError, match=rf"version {VERSION + 1}.*up to {VERSION}.*a later one"):
        Store(store.backend)
    assert store.rows("SELECT version FROM prov.schema_version") == [(VERSION + 1,)]


def test_store_of_the_first_version_is_brought_to_this_one(store):
    """It gets what it lacks, and keeps what it has."""
    store.commit(run())
    _make_first_version(store.backend)
    Store(store.backend).commit(run("other"), first=2)
    assert store.rows("SELECT version FROM prov.schema_version") == [(VERSION,)]
    assert store.backend.has_table("prov", "ingest_ahead")
    assert store.ask.runs()[["run_id", "is_complete"]].to_numpy().tolist() == [["r", False], ["other", False]]


def _make_first_version(backend):
    """Take from a store what later versions have added."""
    for table in SINCE_VERSION:
        backend.execute(f"DROP TABLE prov.{table}")
    backend.execute("DROP VIEW prov.run")
    backend.execute("DROP VIEW prov.run_missing")
    backend.execute("CREATE VIEW prov.run AS SELECT run_id, 'known' AS status FROM prov.run_begin")
    backend.execute("UPDATE prov.schema_version SET version = 1")
