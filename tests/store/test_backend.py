"""Opening, closing, migrating and asking a store: what has to hold on every engine."""

import signal
import threading
import time
from pathlib import Path

import pytest

import optiprov
from optiprov.errors import NoStoreError, QueryError, StoreError, UrlError
from optiprov.store import StoreUrl, connect, service_file
from optiprov.store.duckdb import DuckDBBackend
from optiprov.store.schema import SINCE_VERSION, TABLES, VERSION, VIEWS, migrate
from tests.store.conftest import ENDLESS, Store, begin, end, item, on_duckdb, run
from tests.waiting import PATIENCE_S

FORBIDDEN = [
    "INSERT INTO prov.run_begin (run_id) VALUES ('x')",
    "UPDATE prov.run_begin SET run_id = 'x'",
    "DELETE FROM prov.run_begin",
    "DROP TABLE prov.run_begin",
    "CREATE TABLE t (x INTEGER)",
    "CREATE TEMP TABLE t AS SELECT 1",
    "ALTER TABLE prov.run_begin ADD COLUMN y INTEGER",
    "TRUNCATE prov.run_begin",
    "WITH gone AS (DELETE FROM prov.run_begin RETURNING *) SELECT * FROM gone",
    "WITH new AS (INSERT INTO prov.run_begin (run_id) VALUES ('x') RETURNING *) SELECT * FROM new",
    "COPY prov.run_begin TO '{tmp}/leak.csv'",
    "COPY (SELECT 1) TO '{tmp}/leak.csv'",
    "ATTACH '{tmp}/leak.db'",
    "DETACH _store",
    "USE memory",
    "SET threads = 1",
    "SET enable_external_access = true",
    "RESET search_path",
    "PRAGMA database_list",
    "PRAGMA memory_limit = '1GB'",
    "CALL pragma_version()",
    "CHECKPOINT",
    "BEGIN",
    "COMMIT",
    "INSTALL httpfs",
    "LOAD httpfs",
    "EXPORT DATABASE '{tmp}/leak'",
    "IMPORT DATABASE '{tmp}'",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('/etc/passwd')",
    "SELECT * FROM '/etc/passwd.csv'",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM read_parquet('https://example.org/x.parquet')",
    "SELECT * FROM query('COPY (SELECT 1) TO ''{tmp}/leak.csv''')",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE prov.run_begin",
    "EXPLAIN ANALYZE INSERT INTO prov.run_begin (run_id) VALUES ('x')",
    "PREPARE p AS SELECT 1",
    "SELECT * FROM sql",
    "SELECT * FROM self",
    "SELECT * FROM parameters",
    "SELECT * FROM nowhere",
    "SELEC 1",
    "SELECT '\ud800'",
    "",
    "-- nothing",
]


@pytest.mark.parametrize("sql", FORBIDDEN)
def test_query_is_read_only_and_single(store, tmp_path, sql):
    """Whatever is no single query of the store's own data is refused, and changes nothing."""
    store.commit(run())
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(QueryError):
        store.ask.sql(sql.format(tmp=tmp_path))
    assert store.rows("SELECT run_id FROM prov.run_begin") == [("r",)]
    assert sorted(tmp_path.rglob("*")) == before


def test_parameters_are_values(store):
    """Text in a parameter is never SQL."""
    store.commit(run("it's"))
    assert len(store.ask.sql("SELECT * FROM prov.run WHERE run_id = ?", ("it's",))) == 1
    assert len(store.ask.sql("SELECT * FROM prov.run WHERE run_id = ?", ("' OR 1=1 --",))) == 0


def test_missing_parameter_is_refused(store):
    """A wrong number of parameters is an error of the query."""
    with pytest.raises(QueryError):
        store.ask.sql("SELECT ?", ())


def test_every_table_and_view_can_be_read(store):
    """The whole schema is there and sound, on an empty and on a filled store."""
    for _ in range(2):
        for name in (*TABLES, *VIEWS):
            store.ask.sql(f"SELECT * FROM prov.{name}")
        store.commit(run(), begin("t", item(x=1)), end("t", item("o", y=1)))


def test_store_is_the_same_after_reopening(store, open_backend):
    """Rows, marks and the catalog are read back; migrating again changes nothing."""
    store.commit(run(), end("t", item(x=1)))
    store.backend.close()
    again = Store(open_backend())
    assert again.writer.marks == {"c": 2}
    again.commit(end("u", item(x=2)), first=3)
    assert again.rows("SELECT x FROM out ORDER BY x") == [(1,), (2,)]


def test_empty_file_becomes_a_store(tmp_path):
    """The first migration makes all of it, and a second run of it nothing."""
    backend = DuckDBBackend(tmp_path / "new.duckdb")
    for _ in range(2):
        migrate(backend)
        assert backend.rows("SELECT version FROM prov.schema_version") == [(VERSION,)]
    backend.close()


def test_store_of_the_first_version_is_brought_to_this_one(store):
    """It gets what it lacks, and keeps what it has."""
    store.commit(run())
    _make_first_version(store.backend)
    Store(store.backend).commit(run("other"), first=2)
    assert store.rows("SELECT version FROM prov.schema_version") == [(VERSION,)]
    assert store.backend.has_table("prov", "ingest_ahead")
    assert store.ask.runs()[["run_id", "is_complete"]].to_numpy().tolist() == [["r", False], ["other", False]]


def test_newer_store_is_refused(store):
    """The message says which versions, and what to do."""
    store.backend.execute("UPDATE prov.schema_version SET version = ?", (VERSION + 1,))
    with pytest.raises(StoreError, match=rf"version {VERSION + 1}.*up to {VERSION}.*a later one"):
        migrate(store.backend)


def _make_first_version(backend):
    """Take from a store what later versions have added."""
    for table in SINCE_VERSION:
        backend.execute(f"DROP TABLE prov.{table}")
    backend.execute("DROP VIEW prov.run")
    backend.execute("DROP VIEW prov.run_missing")
    backend.execute("CREATE VIEW prov.run AS SELECT run_id, 'known' AS status FROM prov.run_begin")
    backend.execute("UPDATE prov.schema_version SET version = 1")


def test_query_is_interrupted_after_its_time(store, engine):
    """An endless query ends, and the store goes on."""
    with pytest.raises(TimeoutError):
        store.backend.fetch(ENDLESS[engine], timeout_s=0.2)
    assert store.rows("SELECT 1") == [(1,)]


def test_closing_interrupts_queries(store, engine):
    """A long query does not hold up the end of the service."""
    failed = []

    def ask():
        try:
            store.backend.fetch(ENDLESS[engine])
        except (StoreError, TimeoutError) as error:
            failed.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(0.3)
    store.backend.close()
    thread.join(PATIENCE_S)
    assert failed
    assert not thread.is_alive()


def test_readers_see_whole_commits_while_the_writer_commits(store):
    """Each commit has two tasks: no reader ever sees an odd number."""
    seen, stop = [], threading.Event()

    def read():
        while not stop.is_set():
            seen.append(store.rows("SELECT count(*) FROM prov.task_begin")[0][0])

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for n in range(20):
        store.commit(begin(f"a{n}", item(**{f"x{n}": 1})), begin(f"b{n}"))
    stop.set()
    for thread in threads:
        thread.join()
    assert seen == sorted(seen) or len(seen) > 2
    assert all(count % 2 == 0 for count in seen)
    assert store.rows("SELECT count(*) FROM prov.task_begin") == [(40,)]


WRITE = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from optiprov.store.duckdb import DuckDBBackend
from tests.store.conftest import Store, begin, item
store = Store(DuckDBBackend(Path(sys.argv[1])))
n = 0
while True:
    n += 1
    store.commit(*(begin(f"{n}-{m}", item(x=m)) for m in range(5)))
    os.write(1, b"%d\\n" % n)
"""
ROOT = Path(__file__).parents[2]


def test_store_is_whole_after_a_kill_of_its_owner(start_python, tmp_path):
    """SIGKILL in mid-write: every commit that returned is there, whole; the log is replayed."""
    path = tmp_path / "p.duckdb"
    process = start_python(WRITE, path, ROOT)
    for _ in range(25):
        last = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    rest = process.stdout.read().split("\n")[:-1]
    last = int(rest[-1]) if rest else last
    frame = connect(path).sql(
        "SELECT (SELECT count(*) FROM prov.task_begin) AS tasks, max(mark) AS mark FROM prov.ingest_mark"
    )
    assert frame["tasks"][0] == frame["mark"][0]
    assert frame["tasks"][0] in (5 * last, 5 * (last + 1))


@on_duckdb
def test_readers_open_a_file_beside_each_other(store, start_python, tmp_path):
    """Without a service each query opens the file read-only, in any number of processes."""
    store.commit(run())
    store.backend.close()
    code = """
import sys, optiprov
for _ in range(5):
    assert len(optiprov.connect(sys.argv[1]).runs()) == 1
"""
    readers = [start_python(code, tmp_path / "p.duckdb") for _ in range(2)]
    assert [process.wait(PATIENCE_S) for process in readers] == [0, 0]


@on_duckdb
def test_file_of_another_process_says_who_has_it(start_python, open_backend, tmp_path):
    """Without a word beside the file on where the service is, the message says what to do."""
    process = start_python(WRITE, tmp_path / "p.duckdb", ROOT)
    process.stdout.readline()
    for attempt in (lambda: connect(tmp_path / "p.duckdb").runs(), open_backend):
        with pytest.raises(
            StoreError, match=rf"another process owns the store.*PID {process.pid}.*stop it first"
        ):
            attempt()


def test_connect_says_what_is_missing(tmp_path, monkeypatch):
    """No address, a wrong one, no file, a file that is no store."""
    monkeypatch.delenv("OPTIPROV_STORE", raising=False)
    with pytest.raises(UrlError, match="set OPTIPROV_STORE"):
        connect()
    with pytest.raises(UrlError, match="'ftp://x' is no store"):
        connect("ftp://x")
    with pytest.raises(NoStoreError, match="there is no such store"):
        connect(tmp_path / "absent")
    (tmp_path / "text").write_text("this is no database" * 1000)
    with pytest.raises(NoStoreError, match="it is no store, but a text file"):
        connect(tmp_path / "text").runs()
    monkeypatch.setenv("OPTIPROV_STORE", str(tmp_path / "text"))
    assert connect()


@on_duckdb
def test_stale_service_file_is_passed_over(store, tmp_path):
    """A service that was killed leaves its word beside the file: the file is opened."""
    store.commit(run())
    store.backend.close()
    for text in (
        '{"http": "http://127.0.0.1:9", "pid": 1}',
        "{",
        "[]",
        '{"http": 5}',
        '{"http": "nonsense"}',
    ):
        service_file(tmp_path / "p.duckdb").write_text(text)
        assert len(optiprov.connect(tmp_path / "p.duckdb").runs()) == 1


@pytest.mark.parametrize(
    ("text", "kind", "location"),
    [
        ("duckdb:///a/b", "duckdb", "/a/b"),
        ("duckdb:rel/b", "duckdb", "rel/b"),
        ("rel/b", "duckdb", "rel/b"),
        ("http://h:1/", "http", "http://h:1"),
        ("monetdb://h/d", "monetdb", "monetdb://h/d"),
    ],
)
def test_store_url_is_read_in_each_form(text, kind, location):
    """Paths, DuckDB URLs and services."""
    assert StoreUrl.parse(text) == (kind, location)


@pytest.mark.parametrize("text", ["", "duckdb://", "duckdb:", "mysql://h/db"])
def test_store_url_is_refused_with_what_to_write(text):
    """The message echoes the text and shows the forms."""
    with pytest.raises(UrlError, match="duckdb:///path/to/file"):
        StoreUrl.parse(text)
