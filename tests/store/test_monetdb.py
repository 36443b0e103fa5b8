"""What only a server does: it is started again, serves others, and may be in anybody's way."""

import math
import os
import signal
import threading
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optiprov.errors import NoStoreError, QueryError, StoreError, UrlError
from optiprov.store import StoreUrl, connect
from optiprov.store.monetdb import MonetDBBackend
from optiprov.store.monetdb.session import Session
from optiprov.store.url import MonetDBAddress
from tests.monetdb.databases import start_server
from tests.store.conftest import Store, begin, end, item, run

ROOT = Path(__file__).parents[2]


@pytest.fixture
def server(tmp_path):
    """A server of the test's own, which it may kill."""
    server = start_server(tmp_path / "provenance")
    yield server
    server.kill()


@pytest.fixture
def address(monetdb_url):
    """The address of an empty database."""
    return MonetDBAddress.parse(monetdb_url)


@pytest.fixture(params=["text", "binary"])
def backend(address, request, monkeypatch):
    """A backend with a table for a value of each kind; rows go there as text, or as bytes where they can."""
    is_binary = request.param == "binary"
    monkeypatch.setattr("optiprov.store.monetdb.backend._ROWS_FOR_BINARY", 1 if is_binary else 10**9)
    backend = MonetDBBackend(address)
    backend.execute("CREATE TABLE prov.probe (i BIGINT, d DOUBLE, b BOOLEAN, s TEXT, t TIMESTAMP)")
    yield backend
    backend.close()


def rows_of(**columns):
    """Return an Arrow table for `prov.probe`."""
    types = {"i": pa.int64(), "d": pa.float64(), "b": pa.bool_(), "s": pa.string(), "t": pa.timestamp("us")}
    return pa.table({name: pa.array(values, types[name]) for name, values in columns.items()})


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)


@settings(max_examples=60)
@given(
    values=st.lists(
        st.tuples(
            st.none() | st.integers(-(2**63) + 1, 2**63 - 1),
            st.none() | st.floats(allow_nan=False),
            st.none() | st.booleans(),
            st.none() | TEXTS | st.sampled_from(["", "\\N", "NULL", "\r\n", "\\", "\t", "'", '"', "a\\'b"]),
            st.none() | st.datetimes().map(lambda time: time.replace(fold=0)),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_what_is_inserted_is_read_again(backend, values):
    """Every value but NaN and NUL, whatever it is beside: infinite, empty, quoted, escaped, of many lines."""
    backend.execute("DELETE FROM prov.probe")
    columns = dict(zip("idbst", zip(*values, strict=True), strict=True))
    backend.insert("prov.probe", rows_of(**columns))
    read = backend.rows("SELECT i, d, b, s, t FROM prov.probe")
    assert sorted(map(repr, read)) == sorted(map(repr, values))


@settings(max_examples=60)
@given(
    text=TEXTS
    | st.sampled_from(["'; DROP TABLE prov.probe; --", "\\'; DROP TABLE prov.probe; --", "\\", "'"])
)
def test_text_in_a_statement_is_a_value(backend, text):
    """As a parameter, and written as SQL writes it: never read as anything else, backslashes neither."""
    written = "'" + text.replace("'", "''") + "'"
    assert backend.rows(f"SELECT ?, {written}", (text,)) == [(text, text)]


def test_nan_is_null_and_nul_is_replaced(backend):
    """What MonetDB cannot hold: NaN, which is its NULL, and the NUL character."""
    backend.insert("prov.probe", rows_of(d=[math.nan, 1.0], s=["a\x00b", "\x00"]))
    assert backend.rows("SELECT d, s FROM prov.probe ORDER BY s") == [(None, "a\ufffdb"), (1.0, "\ufffd")]


def test_smallest_integer_is_refused(backend):
    """It is MonetDB's NULL; nothing is stored in its place."""
    with pytest.raises(ValueError, match="i: MonetDB has no integer -9223372036854775808"):
        backend.insert("prov.probe", rows_of(i=[-(2**63)]))
    assert backend.rows("SELECT count(*) FROM prov.probe") == [(0,)]


def test_large_values_and_many_rows_are_inserted(backend):
    """10 MB of text, and 50,000 rows at once."""
    backend.insert("prov.probe", rows_of(s=["x" * 10_000_000]))
    backend.insert("prov.probe", rows_of(i=range(50_000), d=[0.1] * 50_000))
    assert backend.rows("SELECT max(length(s)), count(*), sum(i) FROM prov.probe") == [
        (10_000_000, 50_001, 1_249_975_000)
    ]


def test_infinity_is_compared_as_a_parameter(backend):
    """SQL has no word for it in MonetDB."""
    backend.insert("prov.probe", rows_of(d=[math.inf, -math.inf, 1.0]))
    assert backend.rows("SELECT count(*) FROM prov.probe WHERE d = ?", (math.inf,)) == [(1,)]
    assert backend.rows("SELECT count(*) FROM prov.probe WHERE d > ?", (-math.inf,)) == [(2,)]


def test_durations_are_exact_to_the_microsecond(backend):
    """Over midnight, over years, and before 1970; as DuckDB counts them."""
    sql = "SELECT date_diff('microsecond', CAST(? AS TIMESTAMP), CAST(? AS TIMESTAMP))"
    for earlier, later, expected in (
        ("2024-02-28 23:59:59.999999", "2024-03-01 00:00:00.000001", 86_400_000_002),
        ("1969-12-31 23:59:59.900000", "1970-01-01 00:00:00.100001", 200_001),
        ("2024-01-01 00:00:01", "2024-01-01 00:00:00.5", -500_000),
    ):
        assert backend.rows(sql, (earlier, later)) == [(expected,)]


def test_widened_column_keeps_values_and_views(backend):
    """MonetDB changes no types: the column is made anew, under the views that show it."""
    backend.insert("prov.probe", rows_of(b=[True, False, None], i=[1, 2, 3]))
    backend.execute("CREATE VIEW main.shown AS SELECT b, i FROM prov.probe")
    with backend.transaction():
        backend.execute("ALTER TABLE prov.probe ADD COLUMN added BOOLEAN")
        backend.change_type("prov.probe", "added", "integer")
        backend.change_type("prov.probe", "b", "integer")
        backend.change_type("prov.probe", "b", "double")
    assert backend.rows("SELECT b FROM shown ORDER BY i") == [(1.0,), (0.0,), (None,)]


def test_reading_a_view_beside_the_writer_sees_commits_only(backend, address):
    """Another process's sessions: what is not committed is not there."""
    with backend.transaction():
        backend.insert("prov.probe", rows_of(i=[1]))
        other = Session(address)
        assert other.rows("SELECT count(*) FROM prov.probe") == [(0,)]
        other.close()
    assert backend.rows("SELECT count(*) FROM prov.probe") == [(1,)]


def test_transaction_that_conflicts_is_done_again(backend, address):
    """Somebody else changes the same row, and commits first: nothing is lost, nothing is there twice."""
    backend.insert("prov.probe", rows_of(i=[0], d=[0.0]))
    other = Session(address)
    with backend.transaction():
        backend.insert("prov.probe", rows_of(i=[7]))
        other.run("UPDATE prov.probe SET d = 5 WHERE i = 0")
        committing = threading.Timer(0.1, other.commit)
        committing.start()
        backend.execute("UPDATE prov.probe SET d = d + 1 WHERE i = 0")
    committing.join()
    other.close()
    assert backend.rows("SELECT i, d FROM prov.probe ORDER BY i") == [(0, 6.0), (7, None)]


def test_transaction_that_always_conflicts_is_given_up(backend, address, monkeypatch):
    """After some time the store is in trouble, and says what may be the reason; later it goes on."""
    monkeypatch.setattr("optiprov.store.monetdb.transactions._ATTEMPTS", 3)
    backend.insert("prov.probe", rows_of(i=[0]))
    other = Session(address)
    other.run("UPDATE prov.probe SET d = 5 WHERE i = 0")
    with pytest.raises(StoreError, match=r"lost against others 3 times.*takes very long"):
        backend.execute("UPDATE prov.probe SET d = 1 WHERE i = 0")
    other.rollback()
    other.close()
    backend.execute("UPDATE prov.probe SET d = 1 WHERE i = 0")
    assert backend.rows("SELECT d, s FROM prov.probe") == [(1.0, None)]


def test_second_owner_is_refused_and_told_where_the_first_is(backend, address):
    """With its address, host and process; readers are welcome."""
    backend.announce("http://127.0.0.1:9")
    with pytest.raises(
        StoreError, match=rf"the service http://127.0.0.1:9 owns it \(on .*, pid {os.getpid()}\). Use --store"
    ):
        MonetDBBackend(address)
    Store(backend)
    assert len(connect(StoreUrl("monetdb", _with_password(address)).location).runs()) == 0


HOLD = """
import sys, time
sys.path.insert(0, sys.argv[2])
from optiprov.store.monetdb import MonetDBBackend
from optiprov.store.url import MonetDBAddress
backend = MonetDBBackend(MonetDBAddress.parse(sys.argv[1]))
with backend.transaction():
    backend.execute("CREATE TABLE prov.unfinished (x INTEGER)")
    backend.execute("INSERT INTO prov.unfinished VALUES (1)")
    print("owned", flush=True)
    time.sleep(60)
"""


def test_database_of_a_killed_owner_is_free(address, start_python):
    """Its session ends with its process, in the midst of a transaction too, and with that its ownership."""
    process = start_python(HOLD, _with_password(address), ROOT)
    assert process.stdout.readline() == "owned\n"
    with pytest.raises(StoreError, match=f"a service owns it .*pid {process.pid}"):
        MonetDBBackend(address)
    process.send_signal(signal.SIGKILL)
    process.wait()
    backend = MonetDBBackend(address)
    assert not backend.has_table("prov", "unfinished")
    backend.close()


def test_store_outlives_the_kill_of_the_server(server):
    """The writer and a reader go on by themselves, and all that was committed is there, once."""
    address = MonetDBAddress.parse(server.url)
    store = Store(MonetDBBackend(address))
    reader = connect(server.url)
    store.commit(run(), begin("a", item(x=1)))
    assert len(reader.runs()) == 1
    server.kill()
    with pytest.raises(StoreError, match="no MonetDB answers"):
        reader.runs()
    restart = threading.Timer(0.5, server.start)
    restart.start()
    store.commit(begin("b", item(x=2)), first=3)
    restart.join()
    assert store.rows('SELECT x FROM "out" ORDER BY x') == [(1,), (2,)]
    assert reader.sql("SELECT count(*) AS n FROM prov.task")["n"][0] == 2
    reader.close()
    store.backend.close()


@pytest.mark.parametrize("is_stored", [False, True])
def test_commit_that_is_cut_off_is_stored_once(server, monkeypatch, is_stored):
    """The connection breaks before or after the server has committed: the mark in the store tells."""
    store = Store(MonetDBBackend(MonetDBAddress.parse(server.url)))
    store.commit(run())
    commit, breaks = Session.commit, iter([True])

    def cut_off(session):
        if next(breaks, False):
            if is_stored:
                commit(session)
            session.interrupt()
        commit(session)

    monkeypatch.setattr(Session, "commit", cut_off)
    store.commit(begin("a"), begin("b"))
    assert store.rows("SELECT task_id FROM prov.task ORDER BY task_id") == [("a",), ("b",)]
    assert store.rows("SELECT mark FROM prov.ingest_mark ORDER BY mark") == [(1,), (3,)]
    store.backend.close()


def test_server_that_stays_away_stores_nothing_and_is_told(server, monkeypatch):
    """Nothing is acknowledged; when it is back, the same batch is stored."""
    monkeypatch.setattr("optiprov.store.monetdb.transactions._ATTEMPTS", 3)
    store = Store(MonetDBBackend(MonetDBAddress.parse(server.url)))
    server.kill()
    with pytest.raises(StoreError, match="no MonetDB answers"):
        store.commit(run(), end("a", item(x=1)))
    assert store.writer.marks == {}
    server.start()
    assert store.commit(run(), end("a", item(x=1)), first=1).acks["c"].mark == 2
    assert store.rows('SELECT x FROM "out"') == [(1,)]
    store.backend.close()


def test_data_is_there_after_the_server_was_stopped(server):
    """In good order, with a new writer afterwards."""
    first = Store(MonetDBBackend(MonetDBAddress.parse(server.url)))
    first.commit(run(), end("a", item(x=math.inf)))
    first.backend.close()
    server.stop()
    server.start()
    again = Store(MonetDBBackend(MonetDBAddress.parse(server.url)))
    assert again.writer.marks == {"c": 2}
    again.commit(end("b", item(x=2)), first=3)
    assert again.rows('SELECT x FROM "out" ORDER BY x') == [(2.0,), (math.inf,)]
    again.backend.close()


def test_database_without_provenance_is_refused_for_reading(monetdb_url):
    """The message says what to do."""
    with pytest.raises(NoStoreError, match=r"the database is there, without provenance. Run an optimization"):
        connect(monetdb_url)


def test_wrong_password_and_no_server_are_said_without_the_password(address):
    """Errors name user, host and database."""
    with pytest.raises(StoreError, match=r"monetdb://monetdb@.*does not let us in") as refused:
        connect(_with_password(address._replace(password="wr0ng")))
    assert "wr0ng" not in str(refused.value)
    with pytest.raises(StoreError, match=r"monetdb://ana@127.0.0.1:9/d: no MonetDB answers") as absent:
        connect("monetdb://ana:wr0ng@127.0.0.1:9/d")
    assert "wr0ng" not in str(absent.value)


def test_url_is_read_with_its_defaults():
    """User and password are monetdb, the port 50000; reserved characters are written as in any URL."""
    assert tuple(MonetDBAddress.parse("monetdb://h/d")) == ("h", 50000, "d", "monetdb", "monetdb")
    assert tuple(MonetDBAddress.parse("monetdb://a%40b:p%2Fw@[::1]:7/d")) == ("::1", 7, "d", "a@b", "p/w")
    assert MonetDBAddress.parse("monetdb://a:secret@[::1]:7/d").url == "monetdb://a@[::1]:7/d"
    assert "secret" not in repr(StoreUrl.parse("monetdb://a:secret@h/d"))


@pytest.mark.parametrize("text", ["monetdb://", "monetdb://h", "monetdb:///d", "monetdb://a:secret@h:x/d"])
def test_wrong_url_is_refused_without_its_password(text):
    """The message shows the form."""
    with pytest.raises(UrlError, match=r"Write monetdb://user:password@host:port/database") as refused:
        StoreUrl.parse(text)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 'a' /* */ ; DROP TABLE prov.probe",
        "SELECT 'a\\'; DROP TABLE prov.probe; --'",
        "SELECT E'a\\'; DROP TABLE prov.probe; --",
        "SELECT 1 -- \n; COMMIT",
        "SELECT 1 # \n; COMMIT",
        "CALL sys.stop(1)",
        "SELECT i INTO x FROM prov.probe",
        "WITH a AS (SELECT 1) DELETE FROM prov.probe",
        "TRACE SELECT 1",
        "SELECT * FROM (SELECT 1) a JOIN '/etc/passwd' b",
        "SELECT * FROM file_loader('/etc/passwd')",
        "SELECT /* /* */ 1",
        'SELECT "a',
    ],
)
def test_statement_that_hides_another_is_refused(backend, sql):
    """By comments, by backslashes, by words within a query."""
    backend.insert("prov.probe", rows_of(i=[1]))
    with pytest.raises(QueryError):
        backend.fetch(sql)
    assert backend.rows("SELECT count(*) FROM prov.probe") == [(1,)]


def _with_password(address):
    return address.url.replace("@", f":{address.password}@", 1)
