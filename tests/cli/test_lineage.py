"""`optiprov lineage` on a store."""

import csv
import io
import json

import pytest

from optiprov.records import Item
from optiprov.store.duckdb import DuckDBBackend
from optiprov.store.schema import migrate
from tests.store.conftest import Store, begin, end, item, reference, run


@pytest.fixture(scope="module")
def linked(tmp_path_factory):
    """The path of a store: /raw.csv -extract-> features -train-> model."""
    path = tmp_path_factory.mktemp("cli") / "p.duckdb"
    backend = DuckDBBackend(path)
    migrate(backend)
    raw = Item("v1", "file", "", [], {}, {"path": "/raw.csv"})
    features, model = item("features", item_id="features"), item("model", item_id="model")
    Store(backend).commit(
        run(),
        begin("1", raw, transformation="extract"),
        end("1", features, transformation="extract"),
        begin("1", reference(features), transformation="train"),
        end("1", model, transformation="train"),
    )
    backend.close()
    return path


def rows(output):
    """The rows of a CSV output by the names of their columns."""
    return list(csv.DictReader(io.StringIO(output)))


def test_lineage_lists_tasks_and_items_by_depth(optiprov, linked):
    """From the start on, and as they are given to the command themselves."""
    status, output, errors = optiprov("lineage", "model", "--store", linked, "--format", "csv")
    assert (status, errors) == (0, "")
    assert [(row["depth"], row["kind"], row["id"], row["name"]) for row in rows(output)] == [
        ("0", "item", "model", "model"),
        ("1", "task", "r/train/1", "train"),
        ("1", "item", "features", "features"),
        ("2", "task", "r/extract/1", "extract"),
        ("2", "item", "v1", "file"),
    ]
    assert rows(output)[-1]["path"] == "/raw.csv"


def test_lineage_obeys_its_options(optiprov, linked):
    """Direction, depth, transformations to stop at, and where it begins: a file, a task."""
    asked = {
        ("/raw.csv", "--direction", "down"): ["v1", "r/extract/1", "features", "r/train/1", "model"],
        ("/raw.csv", "--direction", "down", "--depth", "1"): ["v1", "r/extract/1", "features"],
        ("model", "--stop-at", "extract"): ["model", "r/train/1", "features", "r/extract/1"],
        ("extract/1", "--stop-at", "train", "--stop-at", "extract"): ["r/extract/1", "v1"],
    }
    for arguments, expected in asked.items():
        _, output, _ = optiprov("lineage", *arguments, "--store", linked, "--format", "csv")
        assert [row["id"] for row in rows(output)] == expected


def test_lineage_lists_edges(optiprov, linked):
    """From what was first to what came of it."""
    _, output, _ = optiprov("lineage", "r/train/1", "--edges", "--store", linked, "--format", "csv")
    assert sorted(tuple(row.values()) for row in rows(output)) == [
        ("generated", "r/extract/1", "features"),
        ("used", "features", "r/train/1"),
        ("used", "v1", "r/extract/1"),
    ]


def test_lineage_has_all_in_json(optiprov, linked, monkeypatch):
    """What Python has: tasks, items and edges by their keys."""
    monkeypatch.setenv("OPTIPROV_STORE", str(linked))
    _, output, _ = optiprov("lineage", "features", "--format", "json")
    lineage = json.loads(output)
    (task,), (features, raw) = lineage["tasks"], lineage["items"]
    assert (task["status"], task["started_at"][:10], task["depth"]) == ("finished", "1970-01-01", 1)
    assert (features["path"], raw["path"]) == (None, "/raw.csv")
    assert {(edge["from"], edge["to"], edge["kind"]) for edge in lineage["edges"]} == {
        (task["task"], features["item"], "generated"),
        (raw["item"], task["task"], "used"),
    }


def test_lineage_prints_a_table_for_people(optiprov, linked):
    """With the count of its rows."""
    _, output, _ = optiprov("lineage", "features", "--store", linked)
    assert "r/extract/1" in output
    assert "(3 rows)" in output


def test_lineage_exits_2_where_the_start_is_not_there(optiprov, linked):
    """And says what is like it."""
    status, output, errors = optiprov("lineage", "modle", "--store", linked)
    assert (status, output) == (2, "")
    assert "Did you mean 'model'" in errors
