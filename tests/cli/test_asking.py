"""`optiprov query` and `optiprov sql` on a store."""

import csv
import io
import json

import pytest


def rows(output):
    """The rows of a CSV output, header first."""
    return list(csv.reader(io.StringIO(output)))


def test_sql_lists_tables_with_their_attributes(optiprov, store):
    """`--tables` has a line for each attribute of each dataset's view."""
    status, output, _ = optiprov("sql", "--store", store, "--tables", "--format", "csv")
    header, *found = rows(output)
    assert status == 0
    view, attribute = header.index("view"), header.index("view") + 1
    assert {(row[view], row[attribute]) for row in found} >= {
        ("model_input", "opt"),
        ("model_input", "x"),
        ("model_output", "accuracy"),
    }


def test_sql_joins_the_views_of_datasets(optiprov, store, monkeypatch):
    """A DfAnalyzer query works; the store may come from the environment."""
    monkeypatch.setenv("OPTIPROV_STORE", str(store))
    status, output, _ = optiprov(
        "sql",
        "SELECT x, accuracy FROM model_input JOIN model_output USING (train_task_id) WHERE x > 3 ORDER BY x",
        "--format",
        "json",
    )
    assert (status, json.loads(output)) == (0, [{"x": 4, "accuracy": 0.4}, {"x": 5, "accuracy": 0.5}])


def test_sql_prints_a_table_for_people(optiprov, store):
    """Without --format there is a table with the count of its rows."""
    _, output, _ = optiprov("sql", "--store", store, "SELECT x, opt FROM model_input WHERE x = 5")
    lines = [line.split() for line in output.splitlines()]
    assert lines == [["x", "opt"], ["5", "adam"], ["(1", "row)"]]


@pytest.mark.parametrize(
    "text", ["DELETE FROM prov.task_begin", "CREATE TABLE t (x INT)", "SELECT 1; SELECT 2", "SELEC 1"]
)
def test_sql_refuses_what_is_not_one_query(optiprov, store, text):
    """A statement that writes, several, or none that can be read, exit with 2 and change nothing."""
    before = store.read_bytes()
    status, output, errors = optiprov("sql", "--store", store, text)
    assert (status, output) == (2, "")
    assert errors.startswith("Error: ")
    assert "Traceback" not in errors
    assert store.read_bytes() == before


def test_query_filters_sorts_and_limits(optiprov, store):
    """Conditions must all hold; the order and the most rows can be given."""
    status, output, _ = optiprov(
        *("query", "--store", store, "--select", "used.x,generated.accuracy", "--format", "csv"),
        *("--where", "used.opt = 'adam'", "--where", "generated.accuracy >= 0.1"),
        *("--sort", "used.x:desc", "--limit", "2"),
    )
    assert status == 0
    assert rows(output) == [["used.x", "generated.accuracy"], ["5", "0.5"], ["3", "0.3"]]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [("used.opt like sg%", [0, 2, 4]), ("used.x != 3", [0, 1, 2, 4, 5]), ("task.status = failed", [])],
)
def test_query_reads_conditions(optiprov, store, condition, expected):
    """Texts need no quotes, and every operator is understood."""
    _, output, _ = optiprov(
        *("query", "--store", store, "--select", "used.x", "--where", condition),
        *("--sort", "used.x", "--format", "json"),
    )
    assert [row["used.x"] for row in json.loads(output)] == expected


def test_query_aggregates_in_groups(optiprov, store):
    """--agg with --group gives a row for each group."""
    _, output, _ = optiprov(
        *("query", "--store", store, "--agg", "max:generated.accuracy", "--group", "used.opt"),
        *("--sort", "used.opt", "--format", "csv"),
    )
    header, *found = rows(output)
    assert header[0] == "used.opt"
    assert found == [["adam", "0.5"], ["sgd", "0.4"]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--where", "generated.acuracy > 0.5"], "generated.accuracy"),
        (["--select", "nothing"], "nothing"),
        (["--agg", "median:used.x"], "median"),
        (["--sort", "used.x:upwards"], "upwards"),
    ],
)
def test_query_exits_2_when_something_is_unknown(optiprov, store, arguments, message):
    """An unknown field, function or direction is told, with what there is."""
    status, output, errors = optiprov("query", "--store", store, *arguments)
    assert (status, output) == (2, "")
    assert message in errors
    assert "Traceback" not in errors
