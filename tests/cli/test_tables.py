"""What `optiprov query` and `optiprov sql` print for people."""

import json

import pyarrow as pa
import pytest
from click.testing import CliRunner

from optiprov.cli.main import cli
from optiprov.cli.tables import WIDTH, print_table
from optiprov.records import TrialBegin
from optiprov.store.duckdb import DuckDBBackend
from optiprov.store.schema import migrate
from tests.store.conftest import Store, begin, end, item, run


@pytest.fixture
def path(tmp_path):
    """A store of one task, which two other clients' records did not reach."""
    path = tmp_path / "p.duckdb"
    backend = DuckDBBackend(path)
    migrate(backend)
    store = Store(backend)
    store.commit(TrialBegin("s", "t1", 1, {}), client="d")
    store.commit(run(), begin("t", item("train_input", lr=0.1)), end("t", item("train_output", accuracy=0.9)))
    backend.close()
    return path


def call(command, *arguments):
    """Run a command as its users do, below `optiprov`; return its result."""
    return CliRunner().invoke(cli, [command, *map(str, arguments)], catch_exceptions=False)


def printed(capsys, rows):
    """The lines that are printed for rows."""
    print_table(rows)
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def test_table_that_fits_is_a_table(capsys):
    """The group of a field is above its name; brackets and line breaks stay harmless, integers whole."""
    rows = pa.table(
        {"used.n": [1234567.0, None], "error": ["[exit 3] a\nb", "\x1b[31m"], "used.x": [0.123456789, 2.0]}
    )
    assert printed(capsys, rows) == [
        "  used.                   used.",
        "      n  error                x",
        "1234567  [exit 3] a b  0.123457",
        "      -   [31m                2",
        "(2 rows)",
    ]


def test_column_without_values_is_left_out_and_named(capsys):
    """Unless no column has any."""
    rows = pa.table({"a": [1, 2], "b": [None, None], "c": pa.nulls(2, pa.float64())})
    assert printed(capsys, rows)[-2:] == ["(2 rows)", "Left out, since no row has a value: b, c."]
    assert printed(capsys, rows.select(["b"])) == ["b", "-", "-", "(2 rows)"]
    assert printed(capsys, rows.slice(0, 0))[-2:] == ["a  b  c", "(0 rows)"]


def test_wide_table_is_printed_a_record_at_a_time(capsys):
    """Nothing is broken; the first 20 records, and how to get the others."""
    columns = {f"generated.column_{n}": [n + 0.123456] * 30 for n in range(24)}
    columns["generated.column_1"][0] = None
    lines = printed(capsys, pa.table({**columns, "error": ["first\nsecond"] * 30}))
    assert lines[:2] == ["generated.column_0: 0.123456", "generated.column_2: 2.12346"]
    assert lines[23:27] == ["error: first", "    second", "", "generated.column_0: 0.123456"]
    assert lines.count("") == 20
    assert lines[-1] == "(20 of 30 rows; --format csv prints all of them)"


@pytest.mark.parametrize(("wide", "is_table"), [(WIDTH, True), (WIDTH + 1, False)])
def test_table_is_as_wide_as_it_may_be(capsys, wide, is_table):
    """No line is wider than where tables end."""
    assert (printed(capsys, pa.table({"a": ["x" * wide]}))[0] == "a") == is_table


ODD = """
    SELECT 'NaN'::DOUBLE AS "nan", NULL::DOUBLE AS "null", '-Infinity'::DOUBLE AS "inf", '' AS empty,
           [1, 2] AS "list", {'a': ['x', NULL]} AS "map", sum(9007199254740993) AS "sum",
           '\\xAA'::BLOB AS "bytes", TIMESTAMP '2024-01-02 03:04:05' AS "time" """


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_every_format_tells_nan_from_no_value_and_writes_lists_as_json(path, form):
    """NaN is NaN, no value what the format has for it; sums keep all digits, bytes are base64."""
    output = call("sql", "--store", path, "--format", form, ODD).stdout
    nested, time = '[1, 2]|{"a": ["x", null]}', "2024-01-02 03:04:05"
    if form == "table":
        heading, line, *rest = output.splitlines()
        assert heading.split() == ["nan", "inf", "empty", "list", "map", "sum", "bytes", "time"]
        assert line.split(maxsplit=2)[:2] == ["NaN", "-Infinity"]
        for cell in (*nested.split("|"), "9007199254740993", "qg==", time):
            assert cell in line
        assert "since no row has a value: null." in rest[-1]
    elif form == "csv":
        quoted = ['"{}"'.format(one.replace('"', '""')) for one in nested.split("|")]
        cells = ["NaN", "", "-Infinity", '""', *quoted, "9007199254740993", "qg==", time]
        assert output.splitlines()[1] == ",".join(cells)
    else:
        assert json.loads(output) == [
            {
                "nan": "NaN",
                "null": None,
                "inf": "-Infinity",
                "empty": "",
                "list": [1, 2],
                "map": {"a": ["x", None]},
                "sum": 9007199254740993,
                "bytes": "qg==",
                "time": "2024-01-02T03:04:05.000000",
            }
        ]


def test_nan_of_an_item_is_told_from_no_value_by_query(tmp_path):
    """Beside each other in one column, of which pandas would make the same."""
    backend = DuckDBBackend(tmp_path / "p.duckdb")
    migrate(backend)
    values = [float("nan"), None, 0.5]
    tasks = [end(f"t{n}", item("out", loss=loss, n=n)) for n, loss in enumerate(values)]
    Store(backend).commit(run(), *tasks)
    backend.close()
    wanted = (
        "query",
        "--store",
        tmp_path / "p.duckdb",
        "--select",
        "generated.loss",
        "--sort",
        "generated.n",
    )
    assert call(*wanted).stdout.split()[2:5] == ["NaN", "-", "0.5"]
    assert call(*wanted, "--format", "csv").stdout.splitlines() == ["generated.loss", "NaN", '""', "0.5"]
    found = json.loads(call(*wanted, "--format", "json").stdout)
    assert [row["generated.loss"] for row in found] == ["NaN", None, 0.5]


def test_long_value_is_cut_for_people_only(path):
    """Ten megabytes would push all else off the screen; CSV has them all."""
    wide = ("sql", "--store", path, "SELECT repeat('é', 10000000) AS text, 7 AS n")
    output = call(*wide).stdout
    assert len(output) < 2200
    assert output.startswith("text: éé")
    assert "é... (10000000 characters; --format csv prints all)\nn: 7\n" in output
    assert len(call(*wide, "--format", "csv").stdout) > 10_000_000


def test_columns_of_one_name_are_told_apart_in_json(path):
    """As a join of two views has them."""
    found = call("sql", "--store", path, "--format", "json", "SELECT 1 AS a, 2 AS a, 3 AS a_2, 4 AS a")
    assert json.loads(found.stdout) == [{"a": 1, "a_2": 2, "a_2_2": 3, "a_3": 4}]


def test_missing_records_are_told_on_stderr(path):
    """How many and how to see them; nothing where none is missing."""
    assert call("query", "--store", path).stderr == ""
    backend = DuckDBBackend(path)
    backend.execute("INSERT INTO prov.rejected (client_id, sequence) VALUES ('c', 1), ('c', 2)")
    backend.execute("INSERT INTO prov.lost (client_id, first_sequence, record_count) VALUES ('c', 1, 5)")
    backend.close()
    see = f"See: optiprov sql --store {path}"
    select = '"SELECT * FROM prov.rejected" (and prov.lost)'
    told = f"Not in this store: 2 rejected and 5 lost records. {see} {select}"
    for result in (call("query", "--store", path), call("sql", "--store", path, "SELECT 1")):
        assert result.stderr == told + "\n"
        assert "(1 row)" in result.stdout


def test_query_reads_its_conditions(path):
    """All of them hold; a list is one condition."""
    found = call(
        *("query", "--store", path, "--select", "task_id", "--format", "csv"),
        *("--where", "used.lr in (0.1, 0.2)", "--where", "generated.accuracy >= 0.9"),
    )
    assert found.stdout == "task_id\nt\n"


def test_help_of_query_lists_operators_aggregations_and_fields():
    """What can be written is found without an error."""
    text = call("query", "--help").stdout
    assert "Operators: =, !=, >, >=, <, <=, like, in" in text
    assert "Aggregations: min, max, avg, sum, count, std" in text
    assert "duration_s" in text
