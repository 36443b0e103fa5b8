"""The dump of a store loads into empty databases of both engines, and says the same there."""

import datetime
import math

import duckdb
import pyarrow as pa
import pymonetdb
import pytest

from optiprov.export import sql, write_sql_dump
from optiprov.export.literals import literal_rows
from optiprov.records import Specification
from optiprov.store.schema import SINCE_VERSION, TABLES, VIEWS
from optiprov.store.url import MonetDBAddress
from tests.monetdb.databases import empty
from tests.store.conftest import begin, end, item, reference, run

AWKWARD = 'it\'s \\n a \\ "quoted" text\nof two lines; -- with a tab\t and é'


def fill(store):
    """Commit runs with awkward names and values, references between tasks, and a specification."""
    source = item("training input", **{"learning-rate": 0.1, "order": 3, "naïve": AWKWARD, "on": True})
    spec = Specification("f", 5, {"train": {"used": {"training input": None}, "generated": ["out"]}}, {})
    store.commit(
        spec,
        run(),
        begin("1", source),
        end("1", item("out", derived_from=[source.item_id], accuracy=0.30000000000000004)),
        begin("2", reference(source), depends_on=["1"]),
        end("2", item("out", accuracy=1e300), item("out", accuracy=-2), status="failed", error=AWKWARD),
    )
    store.commit(run("q", dataflow="it's \\ odd"), begin("1", run_id="q", transformation="tra\\in's"))
    more = [begin(str(n), item("many", number=n), run_id="q", transformation="count") for n in range(7)]
    store.commit(*more)


def statements(path):
    """The statements of a script, each of which ends a line."""
    text = "\n".join(line for line in path.read_text().splitlines() if not line.startswith("-- "))
    return [statement for statement in text.split(";\n") if statement.strip(" ;\n")]


def load_duckdb(path, _request):
    """The rows that a query has in an empty DuckDB that has loaded a script."""
    connection = duckdb.connect()
    for statement in statements(path):
        connection.execute(statement)
    return lambda query: connection.execute(query).fetchall()


def load_monetdb(path, request):
    """The same in an empty MonetDB."""
    url = request.getfixturevalue("monetdb_url")
    empty(url)
    at = MonetDBAddress.parse(url)
    where = {"hostname": at.host, "port": at.port, "database": at.database}
    connection = pymonetdb.connect(username=at.user, password=at.password, autocommit=True, **where)
    request.addfinalizer(connection.close)
    cursor = connection.cursor()
    for statement in statements(path):
        cursor.execute(statement)

    def ask(query):
        cursor.execute(query)
        return cursor.fetchall()

    return ask


@pytest.mark.parametrize("load", [load_duckdb, load_monetdb])
def test_dump_loads_into_an_empty_database(load, store, tmp_path, request, monkeypatch):
    """All tables and views are there with the same rows, texts with quotes and backslashes included."""
    monkeypatch.setattr(sql, "PAGE_ROWS", 3)
    monkeypatch.setattr(sql, "ROWS_A_STATEMENT", 2)
    fill(store)
    expected = {table: len(store.rows(f"SELECT * FROM prov.{table}")) for table in TABLES}
    tasks = sorted(store.rows("SELECT task, run_id, transformation, status, started_at FROM prov.task"))
    path = tmp_path / "data" / "provenance_database.sql"
    write_sql_dump(store.ask, path)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    ask = load(path, request)
    for table in TABLES:
        assert ask(f'SELECT count(*) FROM prov."{table}"') == [(expected[table],)], table
    for view in VIEWS:
        ask(f'SELECT count(*) FROM prov."{view}"')
    assert sorted(ask("SELECT task, run_id, transformation, status, started_at FROM prov.task")) == tasks
    assert ask("SELECT DISTINCT error FROM prov.task_end WHERE error IS NOT NULL") == [(AWKWARD,)]
    joined = 'SELECT i."learning-rate", i."order", i."naïve", i."on" FROM main."training input" i'
    assert ask(joined) == [(0.1, 3, AWKWARD, True)]
    assert sorted(ask('SELECT accuracy FROM f."out"')) == [(-2,), (0.30000000000000004,), (1e300,)]
    assert ask("SELECT count(*), sum(number) FROM main.many") == [(7, 21)]
    assert ask("SELECT count(*) FROM prov.listing WHERE \"view\" = 'many'")[0][0] > 0


def test_dump_of_a_store_of_the_first_version_has_what_that_has(store, tmp_path):
    """It can be read without a service that would bring it to the present version."""
    fill(store)
    for table in SINCE_VERSION:
        store.backend.execute(f"DROP TABLE prov.{table}")
    store.backend.execute("UPDATE prov.schema_version SET version = 1")
    write_sql_dump(store.ask, tmp_path / "first.sql")
    assert "ingest_ahead" not in (tmp_path / "first.sql").read_text()


def test_literals_hold_what_both_engines_can():
    """NaN and the smallest integer are NULL, infinity the largest double, times exact to the microsecond."""
    at = datetime.datetime(2026, 1, 2, 3, 4, 5, 678_901)  # noqa: DTZ001  as the store has them
    rows = pa.table(
        {
            "double": pa.array([math.nan, math.inf, 0.5]),
            "integer": pa.array([-(2**63), 5, None]),
            "time": pa.array([at, None, at.replace(microsecond=0)], pa.timestamp("us")),
            "text": pa.array(["plain", "it's", None]),
        }
    )
    assert literal_rows(rows) == [
        "(NULL, NULL, TIMESTAMP '2026-01-02 03:04:05.678901', 'plain')",
        "(1.7976931348623157e+308, 5, NULL, 'it''s')",
        "(0.5e0, NULL, TIMESTAMP '2026-01-02 03:04:05.000000', NULL)",
    ]


def test_failed_dump_leaves_the_earlier_one(tmp_path):
    """A dump that is cut off never stands under the name of a complete one."""

    class Broken:
        def fetch(self, _query):
            raise OSError("gone")

    path = tmp_path / "dump.sql"
    path.write_text("earlier")
    with pytest.raises(OSError, match="gone"):
        write_sql_dump(Broken(), path)
    assert path.read_text() == "earlier"
