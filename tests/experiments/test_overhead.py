"""The benchmark of experiments/overhead: that it measures, and that its table tells the truth."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest

from experiments.overhead.measurement import Figure, Line
from experiments.overhead.plan import LINES, MEASUREMENTS
from experiments.overhead.table import Row, Spread, cite, cited, rows_of, write_results, write_table

ROOT = Path(__file__).parents[2]
BENCHMARK = ROOT / "experiments" / "overhead" / "benchmark.py"


def row(own=None, peer=None, bar=None, factor=None):
    """Return a row with these medians."""
    line = Line("what", "us", Figure("m", "k"), bar, Figure("p", "k") if peer else None, "peer", factor)
    spreads = [Spread(one, one, one) if one is not None else None for one in (own, peer)]
    return Row(line, *spreads)


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        ({"own": 9.0, "bar": 9}, "met"),
        ({"own": 9.1, "bar": 9}, "MISSED"),
        ({"own": 5.0, "bar": 9, "peer": 12.5, "factor": 2.5}, "met"),
        ({"own": 5.0, "bar": 9, "peer": 12.4, "factor": 2.5}, "MISSED"),
        ({"own": 10.0, "peer": 12.5, "factor": 2.5}, "MISSED"),
        ({"own": 40.0, "peer": 20.0, "factor": 0.5}, "met"),
        ({"own": 41.0, "peer": 20.0, "factor": 0.5}, "MISSED"),
        ({"own": 5.0, "bar": 9, "factor": 2.5}, "met, peer not measured"),
        ({"own": 5.0, "factor": 2.5}, "not measured"),
        ({"bar": 9}, "not measured"),
        ({"own": 5.0, "peer": 1.0}, ""),
    ],
)
def test_verdict_follows_bar_and_factor(given, verdict):
    """What misses its bar or its factor is missed, and what was not measured is neither."""
    assert row(**given).verdict == verdict


def test_rows_have_the_medians_of_the_runs(tmp_path):
    """Median and extremes of each figure; a part that is missing on this machine is not measured."""
    runs = {
        "inloop": [{"cpu_us": value} for value in (4.0, 10.0, 5.0)],
        "flowcept_inloop": [{"cpu_us": 20.0, "flushed_us": 25.0}],
        "monetdb": [{"missing": "no MonetDB"}],
    }
    rows = rows_of(runs)
    assert str(rows[0].own) == "5 [4..10]"
    assert (rows[0].ratio, rows[0].verdict) == (4.0, "met")
    assert next(one for one in rows if "MonetDB" in one.line.what).verdict == "not measured"
    text = write_table(rows, {"processor": "a processor"})
    assert "| FlowCept 1.0.3, not crash-safe: 20 " in text
    assert "- processor: a processor" in text
    write_results(tmp_path, rows, runs, {})
    assert json.loads((tmp_path / "table.json").read_text())["lines"][0]["verdict"] == "met"
    assert (tmp_path / "overhead.png").stat().st_size > 1000


def test_every_line_refers_to_a_measurement():
    """A figure that no measurement has would be printed as not measured for ever."""
    names = {one.name for one in MEASUREMENTS}
    figures = [figure for line in LINES for figure in (line.own, line.peer) if figure]
    assert {figure.measurement for figure in figures} <= names


def test_documentation_cites_the_table_as_it_was_measured():
    """The page has what the last `make bench` wrote to results/overhead."""
    table = (ROOT / "results" / "overhead" / "table.md").read_text()
    assert cited(ROOT / "docs" / "performance.md") == table


def test_cited_table_has_every_line():
    """What was measured last has all that is measured now, by its name, and a figure of ours in each line."""
    results = ROOT / "results" / "overhead"
    lines = json.loads((results / "table.json").read_text())["lines"]
    assert [line["what"] for line in lines] == [line.what for line in LINES]
    assert [line["what"] for line in lines if line["optiprov"] is None] == []
    printed = [
        text.split("|")[1].strip() for text in (results / "table.md").read_text().splitlines() if "|" in text
    ]
    assert printed[2:] == [line.what for line in LINES]


def test_page_says_what_stopping_the_service_adds():
    """It is not in the figure of what is stored and queryable; both numbers are about those measured last."""
    runs = json.loads((ROOT / "results" / "overhead" / "table.json").read_text())["runs"]["persist"]
    said = re.search(
        r"stop in good order.*?takes ([\d.]+) us a task.*?([\d.]+) us\s+with it",
        (ROOT / "docs" / "performance.md").read_text(),
        re.DOTALL,
    )
    measured = [[run["stop_us"] for run in runs], [run["cpu_us"] + run["stop_us"] for run in runs]]
    assert [float(one) for one in said.groups()] == pytest.approx([median(one) for one in measured], rel=0.3)


def test_table_in_a_page_is_replaced(tmp_path):
    """What stands around it stays."""
    page = tmp_path / "page.md"
    page.write_text("# Before\n\n<!-- the table of make bench -->\nold\n<!-- its end -->\n\nAfter\n")
    cite(page, "| new |\n")
    assert cited(page) == "| new |\n"
    assert page.read_text().startswith("# Before\n")
    assert page.read_text().endswith("<!-- its end -->\n\nAfter\n")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_benchmark_measures_everything_of_ours(tmp_path):
    """The whole benchmark, small: real service, broker and store; each line of ours has a figure."""
    environment = {name: value for name, value in os.environ.items() if name != "OPTIPROV_TEST_MONETDB"}
    command = [sys.executable, BENCHMARK, "--quick", "--out", tmp_path]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = json.loads((tmp_path / "table.json").read_text())["lines"]
    without = [line["what"] for line in lines if line["optiprov"] is None]
    assert [what for what in without if "MonetDB" not in what] == []
    assert [line["what"] for line in lines if line["peer"] and line["peer_name"].startswith("Flow")] == []
    assert done.stdout == (tmp_path / "table.md").read_text()
    assert "the figures are no measurement" in done.stdout


def test_benchmark_refuses_peers_that_are_not_there(tmp_path):
    """A wrong path to the peers is said before anything runs."""
    command = [sys.executable, BENCHMARK, "--peers", tmp_path / "python"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "`make bench` makes it" in done.stderr
