"""What is shown of what is rejected: the names of run, task, dataset and attributes, with the values."""

import json

import pytest

from optiprov.store.rejection import record_text
from optiprov.wire import BEGIN, END, Batch, Header, ItemShape, Shape, encode_record
from tests.store.conftest import begin, end, item

HEADER = Header("c", 1, 1, "h", 1, "u", None, None, None)
USED = Shape(BEGIN, "r", "f", "train", None, None, None, (ItemShape("in", "f", ("lr", "opt")),))
MADE = Shape(END, "r", "f", "train", None, None, "finished", (ItemShape("out", "f", ("accuracy",)),))


def rejected(store):
    """Return the reasons and payloads of what was rejected."""
    rows = store.rows("SELECT reason, payload FROM prov.rejected ORDER BY sequence")
    return [(reason, json.loads(payload)) for reason, payload in rows]


def test_rejected_row_of_a_shape_is_shown_with_its_names(store):
    """A begin and an end that come twice, and a row that does not fit its shape."""
    rows = [
        *(b'[1,7,1000,[],1,0.1,"adam"]', b"[2,7,2000,2,[0.9]]"),
        *(b'[1,7,1000,[],3,0.1,"adam"]', b"[2,7,2000,4,[0.9]]", b"[2,8,2000,5]"),
    ]
    store.writer.commit([Batch(HEADER, rows, {1: USED, 2: MADE})])
    (begun, begin_record), (ended, end_record), (unfit, unfit_record) = rejected(store)
    assert begun == "task 7 of train in run r has begun already"
    assert {"record": "TaskBegin", "run_id": "r", "task_id": "7", "transformation": "train"}.items() <= (
        begin_record.items()
    )
    used = {"item_id": "c:3", "dataset": "in", "dataflow": "f", "attributes": {"lr": 0.1, "opt": "adam"}}
    assert begin_record["used"] == [used]
    assert ended == "task 7 of train in run r has ended already"
    assert (end_record["record"], end_record["task_id"]) == ("TaskEnd", "7")
    assert end_record["generated"][0]["attributes"] == {"accuracy": [0.9]}
    assert "has 5 elements, got 4" in unfit
    assert unfit_record["row"] == [2, 8, 2000, 5]
    assert (unfit_record["run_id"], unfit_record["transformation"]) == ("r", "train")
    assert unfit_record["items"] == [{"dataset": "out", "attributes": ["accuracy"]}]


@pytest.mark.parametrize("is_row", [False, True])
def test_value_that_does_not_fit_is_shown_with_whose_it_is(store, is_row):
    """As a record of its own or as a row of a shape: run, task, dataset and attribute."""
    store.commit(end("1", item(accuracy=1)), client="first")
    if is_row:
        store.writer.commit([Batch(HEADER, [b'[2,7,2000,1,"high"]'], {2: MADE})])
    else:
        store.commit(end("7", item(accuracy="high")))
    ((reason, shown),) = rejected(store)
    assert reason == "out.accuracy of task 7 of train in run r: the attribute is integer, got 'high' (text)"
    whose = {"run_id": "r", "transformation": "train", "task_id": "7", "dataset": "out"}
    assert shown == {**whose, "attributes": {"accuracy": "high"}}


def test_record_that_the_engine_refuses_is_shown_with_its_names(store, monkeypatch):
    """A row of a shape that no transaction takes."""
    insert_all = store.backend.insert_all

    def refuse(tables):
        listed = list(tables)
        if any(table == "prov.task_begin" for table, _ in listed):
            raise ValueError("not that one")
        insert_all(listed)

    monkeypatch.setattr(store.backend, "insert_all", refuse)
    store.writer.commit([Batch(HEADER, [b'[1,7,1000,[],1,NaN,"adam"]'], {1: USED})])
    ((reason, shown),) = rejected(store)
    assert reason == "not that one"
    assert shown["used"][0]["attributes"] == {"lr": "NaN", "opt": "adam"}


@pytest.mark.parametrize(
    "payload", [b"garbage\xff", b"[99,1,2]", b"[]", b"{}", b"[" * 100_000, b"1" * 10_000]
)
def test_what_is_no_record_is_shown_as_it_came(payload):
    """Its start, if it is long."""
    assert record_text(payload, "c", {1: USED}) == payload[:65_536].decode("utf-8", "backslashreplace")


def test_long_record_is_shown_from_its_start():
    """The names come before the values."""
    shown = record_text(encode_record(begin("7", item("in", text="ä" * 100_000))), "c", {})
    assert len(shown) == 65_536
    assert shown.startswith(
        '{"record": "TaskBegin", "run_id": "r", "task_id": "7", "transformation": "train"'
    )
