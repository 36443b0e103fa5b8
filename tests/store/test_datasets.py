"""Datasets: types from values, any name, and the views that DfAnalyzer's users know."""

import datetime
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optiprov.errors import MetricError
from optiprov.records import new_id, task_key
from optiprov.store.backend import quote_name
from tests.store.conftest import begin, end, item, reference, run

NOON = datetime.datetime(2024, 1, 2, 12)  # noqa: DTZ001 - the store's timestamps are UTC without a zone
HOSTILE = [
    "order",
    "learning-rate",
    "id",
    "run_id",
    "item",
    "task",
    "größe",
    "学习率",
    'a"b',
    "a'b; DROP TABLE prov.run; --",
    "a.b",
    "select",
    "",
    " ",
    "\x00",
    "a\x00b",
    "\n",
    "\ud800",
    "x" * 70_000,
    "train_task_id",
    "%s ? $1 {x}",
]


def types(store):
    """Return the types of all attributes."""
    return dict(store.rows("SELECT attribute, type FROM prov.attribute"))


def values(store, attribute, dataset="out"):
    """Return the values of an attribute in the dataset's view."""
    sql = f"SELECT {quote_name(attribute)} FROM {quote_name(dataset)}"
    return [value for (value,) in store.rows(sql)]


@pytest.mark.parametrize(
    ("given_values", "kind", "expected"),
    [
        ([[1], [2]], "integer", [1, 2]),
        ([1, 2.5], "double", [1.0, 2.5]),
        ([True, 3], "integer", [1, 3]),
        ([True, False], "boolean", [True, False]),
        (["a", 3], "text", ["a", "3"]),
        ([None, "x"], "text", [None, "x"]),
        ([2**70], "text", [str(2**70)]),
        ([[1, 2], 3], "json", ["[1, 2]", "3"]),
        ([{"a": [None]}], "json", ['{"a": [null]}']),
        ([math.inf], "double", [math.inf]),
        (["\ud800é'"], "text", ["\\ud800é'"]),
        ([NOON.replace(tzinfo=datetime.timezone.utc)], "timestamp", [NOON]),
        ([NOON], "timestamp", [NOON]),
    ],
)
def test_column_has_the_type_of_its_values(store, given_values, kind, expected):
    """Types come from values, and widen where both fit."""
    for number, value in enumerate(given_values):
        store.commit(end(str(number), item(x=value)))
    assert types(store) == {"x": kind}
    assert values(store, "x") == expected


def test_value_that_does_not_fit_is_rejected_and_the_item_kept(store):
    """The reason names dataset, attribute, task, run, type and value."""
    store.commit(end("a", item(x=1, y=1)), end("b", item(x="high", y=2)))
    assert (values(store, "x"), values(store, "y")) == ([1, None], [1, 2])
    ((reason, sequence),) = store.rows("SELECT reason, sequence FROM prov.rejected")
    assert reason == "out.x of task b of train in run r: the attribute is integer, got 'high' (text)"
    assert sequence == 2


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: ascii(name)[:30])
def test_any_name_works_for_attribute_dataset_dataflow_and_transformation(store, name):
    """Nothing is interpolated, nothing is rejected, and the tables are all there afterwards."""
    odd = item(dataset=name, dataflow=name, **{name: [1], "plain": [2]})
    outcome = store.commit(run(dataflow=name), end("a", odd, transformation=name))
    assert (outcome.records, outcome.rejected) == (2, 0)
    (column,) = [
        c for a, c in store.rows("SELECT attribute, view_column FROM prov.attribute") if a != "plain"
    ]
    (dataset,) = (d for (d,) in store.rows("SELECT dataset FROM prov.dataset"))
    sql = f"SELECT {quote_name(column)}, plain FROM {quote_name(dataset)}"
    assert store.rows(sql) == [(1, 2)]
    assert store.rows("SELECT count(*) FROM prov.run") == [(1,)]


def test_names_that_differ_in_case_only_do_not_collide(store):
    """Engines are blind to case: attributes and datasets get numbered names, and all values are kept."""
    store.commit(end("a", item("Out", X=1, x=2), item("out", x=3)), end("b", item("out", dataflow="F", x=4)))
    assert dict(store.rows("SELECT attribute, view_column FROM prov.attribute WHERE dataset_key = 1")) == {
        "X": "X",
        "x": "x_2",
    }
    assert store.rows('SELECT "X", x_2 FROM f."Out"') == [(1, 2)]
    assert store.rows("SELECT x FROM f.out_2") == [(3,)]
    assert store.rows('SELECT x FROM "F".out_3') == [(4,)]


def test_dataset_of_two_dataflows_is_scoped(store):
    """Each has its view in its dataflow's schema; the bare name is given only while it is unambiguous."""
    store.commit(end("a", item(x=1)))
    assert values(store, "x") == [1]
    store.commit(end("b", item(dataflow="g", y=2)))
    assert store.rows("SELECT x FROM f.out") == [(1,)]
    assert store.rows("SELECT y FROM g.out") == [(2,)]
    listed = """SELECT DISTINCT "view" FROM prov.listing WHERE "schema" = 'main'"""
    assert "out" not in {name for (name,) in store.rows(listed)}


def test_views_join_as_dfanalyzers_users_write_it(store):
    """On <transformation>_task_id, with the attributes beside it and the run."""
    for number in range(3):
        store.commit(begin(str(number), item("training_input", lr=number / 10)))
        store.commit(end(str(number), item("training_output", accuracy=number / 2)))
    sql = """SELECT i.lr, o.accuracy, o.run_id FROM training_input i
             JOIN training_output o ON i.train_task_id = o.train_task_id
             WHERE o.accuracy > 0.4 ORDER BY i.lr"""
    assert store.rows(sql) == [(0.1, 0.5, "r"), (0.2, 1.0, "r")]


def test_item_of_one_task_used_by_another_has_both_task_ids(store):
    """The dataset's view joins either transformation."""
    features = item("features", n=64)
    store.commit(end("w", features, transformation="extract"))
    store.commit(begin("m", reference(features), run_id="r2", transformation="train"), client="master")
    assert store.rows("SELECT extract_task_id, train_task_id, n FROM features") == [
        (task_key("r", "extract", "w"), task_key("r2", "train", "m"), 64)
    ]
    frame = store.ask.sql("SELECT * FROM features")
    assert frame["train_task_id"][0] == task_key("r2", "train", "m")


def test_keys_beside_nulls_lose_no_digits(store):
    """Pandas makes floats of integers beside NULLs, which would break a 63-bit key."""
    one, other = item("d", x=1), item("d", x=2)
    store.commit(
        end("a", one, transformation="t"), begin("b", reference(one), transformation="u"), end("c", other)
    )
    frame = store.ask.sql("SELECT u_task_id FROM d ORDER BY x")
    assert frame["u_task_id"][0] == task_key("r", "u", "b")


def test_values_of_a_metric_come_in_order_and_only_once(store):
    """Each trial has its own; reading goes on behind a position, over datasets of the same name."""
    store.commit(run("r1"), client="a", trial="t1")
    store.commit(run("r2"), client="b", trial="t2")
    store.commit(
        *(end(str(n), item(acc=n), item(acc=n + 0.5, dataflow="g"), run_id="r1") for n in range(3)),
        client="a",
    )
    store.commit(end("x", item(acc=100), run_id="r2"), client="b")
    seen, position = [], (0, -1)
    while found := store.ask.values("out.acc", "t1", after=position):
        seen.append(found[0].value)
        position = found[0].position
    assert seen == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]
    with pytest.raises(MetricError, match=r"no 'out.loss'; it has out.acc"):
        store.ask.values("out.loss", "t1")


@settings(max_examples=25)
@given(
    attributes=st.dictionaries(
        st.text(st.characters(exclude_categories=()), max_size=8),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats()
            | st.text(st.characters(exclude_categories=())),
            lambda inner: st.lists(inner, max_size=3),
            max_leaves=4,
        ),
        max_size=4,
    )
)
def test_no_record_is_rejected_for_any_attributes(store, attributes):
    """Whatever names and values: the record is stored; a value of another type may be missing."""
    outcome = store.commit(end(new_id(), item("any")._replace(attributes=attributes)))
    assert outcome.records == 1


def test_item_used_by_several_tasks_is_one_row_with_the_first_of_them(store):
    """A view has one row an item, however often it is used; every use is in prov.used."""
    features = item("features", n=3)
    store.commit(end("make", features, transformation="extract"))
    for number in range(3):
        task = begin(f"epoch-{number}", reference(features), transformation="epoch")
        store.commit(task._replace(started_us=1_000_000 - number))
    assert store.rows("SELECT extract_task_id, epoch_task_id FROM features") == [
        (task_key("r", "extract", "make"), task_key("r", "epoch", "epoch-2"))
    ]
    assert len(store.rows("SELECT * FROM prov.used")) == 3


def test_derivations_are_between_the_items_that_were_named(store):
    """Of one task and of another, of several sources, and of one that came later; once each."""
    images, later = item("images", item_id="images", n=1), item("later", item_id="later", n=2)
    features = item("features", item_id="features", derived_from=["images"], n=3)
    model = item("model", item_id="model", derived_from=["features", "later", "features"], n=4)
    store.commit(begin("1", images), end("1", features))
    store.commit(begin("2", reference(features)), end("2", model), client="other")
    store.commit(end("3", later))
    named = """SELECT i.item_id, s.item_id FROM prov.derivation d JOIN prov.item i ON i.item = d.item
               JOIN prov.item s ON s.item = d.source ORDER BY 1, 2"""
    expected = [("features", "images"), ("model", "features"), ("model", "later")]
    assert store.rows(named) == expected
    assert store.rows("SELECT count(*) FROM prov.derivation") == [(3,)]


@pytest.mark.parametrize("name", ["run", "task", "dependency", "rejected", "listing"])
def test_datasets_with_the_names_of_our_own_tables_leave_these_alone(store, name):
    """One, and then two, which have no bare view; what `prov` has is there still."""
    ours = store.rows(f"SELECT count(*) FROM prov.{name}")
    for flow in ("f", "g", "h"):
        store.commit(end(flow, item(name, flow, x=1)), end(f"{flow}2", item(name.upper(), flow, y=2)))
    for flow in ("f", "g", "h"):
        assert store.rows(f'SELECT x FROM {flow}."{name}"') == [(1,)]
    assert len(store.rows(f"SELECT * FROM prov.{name}")) >= ours[0][0]
    assert len(store.ask.runs()) == 0
    assert len(store.ask.query()) == 6
    bare = 'SELECT 1 FROM prov.listing WHERE "schema" = \'main\' AND lower("view") = ?'
    assert store.rows(bare, name) == []


def test_dataset_with_the_name_of_one_of_our_tables_has_its_bare_view(store):
    """As any other, while it is unambiguous."""
    store.commit(end("1", item("run", x=1)))
    assert store.rows("SELECT x FROM run") == [(1,)]
    assert store.rows("SELECT count(*) FROM prov.run") == [(0,)]
