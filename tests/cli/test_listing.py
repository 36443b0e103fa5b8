"""`optiprov sql --tables`: what can be selected from, on each engine."""

import csv
import io
import re

import pytest

from optiprov.store.schema import TABLES, VIEWS
from tests.conftest import ROOT
from tests.store.conftest import Store, begin, end, item, run

RECORDED_ONLY = {  # what views are made of, and marks
    *("run_begin", "run_end", "run_part", "task_begin", "task_end", "dependency_given", "ingest_mark"),
    *("study_begin", "study_end", "trial_begin", "trial_end", "attribute", "dataset_use"),
    *("ingest_ahead", "run_missing"),
}


@pytest.fixture
def two_datasets(open_backend, store_url):
    """A store with two datasets, of which one has a name with capitals."""
    store = Store(open_backend())
    used = item("trainInput", "Digits", LR=0.1, optimizer="adam")
    store.commit(run(), begin("t", used), end("t", item("out", accuracy=1)))
    store.backend.close()
    return store_url


@pytest.fixture
def listed(two_datasets, optiprov):
    """The lines of CSV for that store."""
    status, output, _ = optiprov("sql", "--store", two_datasets, "--tables", "--format", "csv")
    assert status == 0
    return list(csv.reader(io.StringIO(output)))


def test_datasets_are_listed_with_their_columns_first(listed):
    """As they are written, with the columns that join them."""
    assert listed[:11] == [
        ["schema", "view", "column", "type"],
        *(["Digits", "trainInput", *column] for column in (
            ["train_task_id", "integer"],
            ["LR", "double"],
            ["optimizer", "text"],
            ["run_id", "text"],
            ["item", "integer"],
        )),
        *(["f", "out", *column] for column in (
            ["train_task_id", "integer"],
            ["accuracy", "integer"],
            ["run_id", "text"],
            ["item", "integer"],
        )),
        ["prov", "run", "run_id", "text"],
    ]  # fmt: skip


def test_each_table_is_one_line_for_people(two_datasets, optiprov, listed):
    """With all of its columns, and all tables, however many there are."""
    status, output, _ = optiprov("sql", "--store", two_datasets, "--tables")
    lines = [line.split(None, 1) for line in output.splitlines()]
    assert status == 0
    assert lines[0] == ["Digits.trainInput", "train_task_id, LR, optimizer, run_id, item"]
    assert [name for name, _ in lines] == list(dict.fromkeys(f"{row[0]}.{row[1]}" for row in listed[1:]))
    assert sum(len(columns.split(", ")) for _, columns in lines) == len(listed) - 1


def test_all_of_prov_is_listed_that_users_ask(listed):
    """Each table once with its columns, and what the documentation's own queries name."""
    views = list(dict.fromkeys(row[1] for row in listed if row[0] == "prov"))
    assert set(views) == {*TABLES, *VIEWS} - RECORDED_ONLY
    pages = [(ROOT / "docs" / page).read_text() for page in ("provenance.md", "running.md", "transport.md")]
    queried = set(re.findall(r"\bprov\.([a-z_]+)", " ".join(pages)))
    assert queried >= {"task_usage", "run_environment", "dataflow"}
    assert queried - set(views) == set()
    for name in set(views) & set(TABLES):
        assert [row[2] for row in listed if row[:2] == ["prov", name]] == list(TABLES[name])
