"""Rows of shapes: what they leave in the store is what the same records leave one by one."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optiprov.records import Status, new_id
from optiprov.wire import (
    BEGIN,
    END,
    LISTED,
    Batch,
    Header,
    ItemShape,
    Shape,
    encode_record,
    expand,
    row_struct,
)
from optiprov.wire.slots import ROW_BYTES, encode_marker

VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=()), max_size=5)
)
TABLES = ("task", "used", "generated", "item", "dependency", "rejected")


def header(client):
    """Return the header of a client's first batch."""
    return Header(client, 1, 1, "host", 1, "user", None, None, None)


def shapes(run_id, dataflow="f"):
    """Return the shapes of a task with two values in and one out."""
    used = Shape(BEGIN, run_id, dataflow, "train", None, None, None, (ItemShape("in", "", ("a", "b c")),))
    made = Shape(END, run_id, dataflow, "train", None, None, "finished", (ItemShape("out", "", ("y",)),))
    return {1: used, 2: made}


def commit_rows(store, client, shapes, rows):
    """Commit rows of shapes as a client sends them."""
    encoded = [json.dumps(row).encode("ascii") for row in rows]
    return store.writer.commit([Batch(header(client), encoded, shapes)])


def commit_records(store, client, shapes, rows):
    """Commit the records that the rows stand for."""
    encoded = [encode_record(expand(shapes[row[0]], row, client)) for row in rows]
    return store.writer.commit([Batch(header(client), encoded)])


def left(store, run_id, client, dataflow):
    """Return what there is of a run, without what tells one run, client or dataflow from another."""

    def told(value):
        return str(value).replace(run_id, "RUN").replace(client, "CLIENT").replace(dataflow, "FLOW")

    tasks = store.rows(
        "SELECT task_id, transformation, status, host, agent, started_at, ended_at, error"
        " FROM prov.task WHERE run_id = ?", run_id,
    )  # fmt: skip
    depends = store.rows(
        "SELECT a.task_id, b.task_id FROM prov.dependency d JOIN prov.task a ON a.task = d.task"
        " JOIN prov.task b ON b.task = d.depends_on WHERE a.run_id = ?", run_id,
    )  # fmt: skip
    data = []
    for dataset, role in (("in", "used"), ("out", "generated")):
        if store.rows("SELECT 1 FROM prov.dataset WHERE dataset = ? AND dataflow = ?", dataset, dataflow):
            view = f'"{dataflow}"."{dataset}"'
            frame = store.ask.sql(
                f"SELECT v.*, i.item_id, t.task_id FROM {view} v JOIN prov.item i ON i.item = v.item"
                f" JOIN prov.{role} e ON e.item = v.item JOIN prov.task t ON t.task = e.task"
                " WHERE v.run_id = ? ORDER BY t.task_id, i.item_id",
                (run_id,),
            )
            # Whose kind is known first comes first: of columns, the order is not told.
            frame = frame.drop(columns=["item", "train_task_id"]).sort_index(axis=1)
            data.append([[told(value) for value in row] for row in frame.to_numpy().tolist()])
    rejected = store.rows("SELECT sequence, reason FROM prov.rejected WHERE client_id = ?", client)
    refusals = [(sequence, told(reason)) for sequence, reason in rejected]
    return sorted(tasks, key=repr), sorted(depends, key=repr), data, sorted(refusals)


tasks = st.lists(
    st.tuples(
        st.integers(0, 30) | st.sampled_from(["x", "y", "07", "-1"]) | st.integers(-3, 2**80),
        st.lists(st.sampled_from(["1", "2", "x"]), max_size=2),
        VALUES,
        VALUES | st.lists(VALUES, max_size=2),
        st.booleans(),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=40)
@given(tasks=tasks, wraps=st.booleans())
def test_rows_leave_what_records_leave(store, tasks, wraps):
    """Any ids, dependencies and values, known ids among them, alone or in lists."""
    found = []
    for commit in (commit_rows, commit_records):
        run_id, client, dataflow = new_id(), new_id(), new_id()
        rows, number = [], 0
        for task_id, depends_on, first, second, has_end in tasks:
            number += 2
            values = [[first], [second]] if wraps else [first, second]
            rows.append([1, task_id, number, depends_on, number, *values])
            if has_end:
                rows.append([2, task_id, number + 1, number + 1, [first]])
        outcome = commit(store, client, shapes(run_id, dataflow), rows)
        found.append((outcome.records, outcome.rejected, left(store, run_id, client, dataflow)))
    assert found[0] == found[1]


def packed_shapes(run_id, dataflow, is_listed):
    """Return the shapes of a task with an integer and a float in, and a float out, as packed rows."""
    listed = LISTED if is_listed else ""
    used, made = shapes(run_id, dataflow).values()
    return {1: used._replace(codes=listed + "qd"), 2: made._replace(codes=listed + "d")}


def commit_packed(store, client, shapes, rows):
    """Commit rows of shapes as packed rows."""
    slots = b""
    for number, task_id, time_us, *rest in rows:
        item, *values = rest[1:] if number == 1 else rest
        plain = [value[0] if isinstance(value, list) else value for value in values]
        row = row_struct(shapes[number].codes).pack(task_id, 1000 * time_us + 999, item, *plain)
        slots += row.ljust(ROW_BYTES, b"\x00") + encode_marker(number)
    return store.writer.commit([Batch(header(client), [None] * len(rows), shapes, slots)])


int64 = st.integers(-(2**63), 2**63 - 1)
numbered = st.lists(
    st.tuples(st.integers(0, 9) | int64, int64, st.floats(), st.booleans()), min_size=1, max_size=12
)


@settings(max_examples=20)
@given(tasks=numbered, wraps=st.booleans())
def test_packed_rows_leave_what_records_leave(store, tasks, wraps):
    """Any numbers, known ids and those that are no natural numbers among them, alone or in lists."""
    found = []
    for commit in (commit_packed, commit_records):
        run_id, client, dataflow = new_id(), new_id(), new_id()
        rows, number = [], 0
        for task_id, first, second, has_end in tasks:
            number += 2
            values = [[first], [second]] if wraps else [first, second]
            rows.append([1, task_id, number, [], number, *values])
            if has_end:
                rows.append([2, task_id, number + 1, number + 1, [second] if wraps else second])
        outcome = commit(store, client, packed_shapes(run_id, dataflow, wraps), rows)
        found.append((outcome.records, outcome.rejected, left(store, run_id, client, dataflow)))
    assert found[0] == found[1]


def test_packed_row_whose_shape_is_not_of_packed_rows_is_rejected(store):
    """Nor is a row that is not packed taken where its shape is of packed rows."""
    plain, packed = shapes("r"), packed_shapes("r", "f", is_listed=False)
    rows = [[1, 1, 10, [], 1, 1, 1.0], [2, 1, 20, 2, 0.5]]
    outcome = commit_rows(store, "c", packed, rows)
    assert (outcome.records, outcome.rejected) == (0, 2)
    slot = row_struct("qd").pack(1, 10, 1, 1, 1.0).ljust(ROW_BYTES, b"\x00")
    slots = slot + encode_marker(1) + slot + encode_marker(9)
    outcome = store.writer.commit([Batch(header("d"), [None, None], plain, slots)])
    assert (outcome.records, outcome.rejected) == (0, 2)


def test_part_of_a_packed_batch_that_is_known_is_dropped(store):
    """What was stored before is not stored again; the rest is, in its place."""
    packed = packed_shapes("r", "f", is_listed=False)
    rows = [[1, n, 10 * n, [], n, n, n / 2] for n in range(1, 11)]
    commit_packed(store, "c", packed, rows[:6])
    outcome = commit_packed(store, "c", packed, rows)
    assert (outcome.records, outcome.rejected) == (4, 0)
    assert store.rows('SELECT a FROM f."in" ORDER BY a') == [(n,) for n in range(1, 11)]


def test_many_usual_rows_are_typed_as_their_values_are(store):
    """Integers, then floats that widen the column, then what has to be text elsewhere."""
    used = shapes("r")
    commit_rows(store, "c1", used, [[1, n, n, [], n, [n], [f"t{n}"]] for n in range(100)])
    commit_rows(store, "c2", used, [[1, n, n, [], n, [n / 8], [True]] for n in range(100, 200)])
    rows = store.rows('SELECT a, "b c" FROM f."in" ORDER BY a')
    assert rows[0] == (0.0, "t0")
    assert (12.625, "True") in rows
    assert len(rows) == 200
    assert store.rows("SELECT attribute, type FROM prov.attribute ORDER BY position") == [
        ("a", "double"),
        ("b c", "text"),
    ]


@pytest.mark.parametrize("as_row", [True, False])
def test_second_begin_or_end_of_a_task_is_rejected_with_the_reason(store, as_row):
    """The first one counts, over commits and restarts; others of the batch are stored."""
    from optiprov.store.writer import Writer

    commit = commit_rows if as_row else commit_records
    both = shapes("r")
    commit(store, "c1", both, [[1, 1, 10, [], 1, 1, 1], [2, 1, 20, 2, 0.5]])
    store.writer = Writer(store.backend)
    outcome = commit(
        store, "c2", both, [[1, 1, 30, [], 1, 2, 2], [2, 1, 40, 2, 0.9], [1, 2, 50, [], 3, 3, 3]]
    )
    assert (outcome.records, outcome.rejected) == (1, 2)
    assert store.rows("SELECT task_id, status FROM prov.task ORDER BY task_id") == [
        ("1", Status.FINISHED),
        ("2", Status.RUNNING),
    ]
    reasons = [reason for (reason,) in store.rows("SELECT reason FROM prov.rejected ORDER BY sequence")]
    assert reasons == [f"task 1 of train in run r has {verb} already" for verb in ("begun", "ended")]


def test_row_without_its_shape_is_rejected(store):
    """A batch that does not define it, in front of one that does."""
    outcome = commit_rows(store, "c", {2: shapes("r")[2]}, [[1, 1, 10, [], 1, 1, 1], [2, 1, 20, 2, 0.5]])
    assert (outcome.records, outcome.rejected) == (1, 1)
    assert store.rows("SELECT reason FROM prov.rejected") == [("the batch does not define the shape 1",)]
