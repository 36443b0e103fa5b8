"""The query API: what it answers, and that every wrong question says what there is."""

import datetime
import math

import pytest

from optiprov.errors import QueryError
from optiprov.records import RunEnd, Specification, TrialBegin, TrialEnd
from optiprov.store.conditions import Literal, read_condition
from tests.store.conftest import begin, end, item, on_duckdb, run


@pytest.fixture
def filled(store):
    """Ten tasks: x from 0 to 9, an optimizer that alternates, accuracy x / 10; one that failed."""
    store.commit(
        TrialBegin("study", "t1", 1, {}), TrialEnd("study", "t1", 2, "finished", 0.9, {}, None), client="d"
    )
    records = [run()]
    for n in range(10):
        used = item("model", x=n, opt="adam" if n % 2 else "sgd", big=n > 4)
        records += [begin(f"t{n}", used), end(f"t{n}", item("score", accuracy=n / 10))]
    records += [begin("bad"), end("bad", status="failed", error="no"), RunEnd("r", 9, "finished", 1)]
    store.commit(*records, trial="t1")
    return store.ask


def column(frame, name):
    """Return a column as a list."""
    return frame[name].tolist()


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"generated.accuracy": {"$gt": 0.65}}, [7, 8, 9]),
        ({"generated.accuracy": {"$gte": 0.3, "$lt": 0.5}}, [3, 4]),
        ({"used.x": 4}, [4]),
        ({"used.x": {"$in": [1, 2, 77]}}, [1, 2]),
        ({"used.x": {"$in": []}}, []),
        ({"used.opt": {"$like": "ad%"}, "used.x": {"$lte": 3}}, [1, 3]),
        ({"$or": [{"used.x": 0}, {"used.x": 9}]}, [0, 9]),
        ({"$and": [{"used.x": {"$gt": 3}}, {"used.x": {"$lt": 6}}]}, [4, 5]),
        ({"$not": {"used.x": {"$gt": 0}}}, [0]),
        ({"used.x": {"$not": {"$gt": 1}}}, [0, 1]),
        ({"used.big": True, "used.opt": {"$ne": "adam"}}, [6, 8]),
        ({"used.model.x": 2}, [2]),
        ({"task_id": "t5", "status": "finished", "trial_id": "t1", "trial.value": 0.9}, [5]),
        ({"task.duration_s": {"$gte": 2.0}, "used.x": {"$lt": 2}, "run.status": "finished"}, [0, 1]),
        ({"task.started_at": {"$lt": "2020-01-01"}, "used.x": 3}, [3]),
        ({"used.x": 3, "used.opt": "'; DROP TABLE prov.run; --"}, []),
    ],
)
def test_filter_finds_the_tasks(filled, condition, expected):
    """Each operator, on each group of fields; values are parameters."""
    assert column(filled.query(["used.x"], condition, sort=[("used.x", "ascending")]), "used.x") == expected


def test_written_value_is_what_its_field_is(store):
    """Text where the field is text, although it looks like a number; otherwise a number."""
    for n, name in enumerate(["007", "7", "true", "null"]):
        store.commit(begin(f"t{n}", item("model", name=name, n=n)))

    def names(condition):
        return column(store.ask.query(["used.name"], condition, sort=[("used.n", "ascending")]), "used.name")

    assert names(read_condition("used.name = 007")) == ["007"]
    assert names(read_condition("used.name in (7, true)")) == ["7", "true"]
    assert names(read_condition("used.name like 0%")) == ["007"]
    assert names(read_condition("used.n >= 2")) == ["true", "null"]
    assert names(read_condition("used.name = null")) == []
    assert names(read_condition("used.name != null")) == ["007", "7", "true", "null"]
    assert names(read_condition('used.name = "null"')) == ["null"]
    assert len(names(read_condition("task.started_at < 2020-01-01"))) == 4
    assert len(names(read_condition("task.status != failed"))) == 4


@pytest.fixture
def diverged(store):
    """Three tasks with a loss, of which one is NaN, and one without."""
    for n, loss in enumerate([0.5, math.nan, 7.5, None]):
        store.commit(end(f"t{n}", item("score", loss=loss, n=n)))
    return store.ask


def test_nan_is_greater_than_nothing(diverged):
    """It is no answer to `accuracy > 0.9`, whatever an engine makes of it."""

    def found(condition):
        return column(diverged.query(["task_id"], condition, sort=[("task_id", "ascending")]), "task_id")

    assert found({"generated.loss": {"$gt": 0.9}}) == ["t2"]
    assert found({"generated.loss": {"$gte": 0.5}}) == ["t0", "t2"]
    assert found({"generated.loss": {"$lt": 0.9}}) == ["t0"]
    assert found({"$or": [{"generated.loss": {"$gt": 1}}, {"generated.n": 0}]}) == ["t0", "t2"]


@on_duckdb
def test_infinity_is_greater_than_numbers(store):
    """Other than NaN."""
    store.commit(end("t0", item("score", loss=math.inf)), end("t1", item("score", loss=math.nan)))
    assert column(store.ask.query(["task_id"], {"generated.loss": {"$gt": 0.9}}), "task_id") == ["t0"]


@pytest.mark.parametrize(("direction", "first"), [("ascending", ["t0", "t2"]), ("descending", ["t2", "t0"])])
def test_nan_is_behind_all_numbers_in_either_order(diverged, direction, first):
    """With what has no value."""
    frame = diverged.query(["task_id"], sort=[("generated.loss", direction), ("generated.n", "ascending")])
    assert column(frame, "task_id") == [*first, "t1", "t3"]


def test_nan_is_in_no_aggregate(diverged):
    """The best of a study is a number; groups and sorts by an aggregate are as without."""
    aggregates = [("max", "generated.loss"), ("min", "generated.loss"), ("count", "generated.loss")]
    assert diverged.query(aggregation=aggregates).to_numpy().tolist() == [[7.5, 0.5, 2]]
    frame = diverged.query(
        ["task_id"],
        {"generated.n": {"$lt": 2}},
        [("max", "generated.loss")],
        [("max(generated.loss)", "descending")],
    )
    assert column(frame, "task_id") == ["t0", "t1"]


def test_times_are_compared_whatever_their_zone(store):
    """As text or as a datetime; what is no time is refused in our words."""
    noon = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.timezone.utc)
    store.commit(end("t", item("score", at=noon)))
    for at in ("2026-01-01T13:00+01:00", "2026-01-01 12:00:00", noon):
        assert len(store.ask.query(filter={"generated.at": at})) == 1
    assert len(store.ask.query(filter={"generated.at": {"$in": ["2026-01-01", noon]}})) == 1
    with pytest.raises(QueryError, match=r"generated.at is a time, such as 2026-01-31.*got 'yesterday'"):
        store.ask.query(filter={"generated.at": {"$gt": "yesterday"}})


def test_status_may_be_matched_by_a_pattern(filled):
    """Only what is compared with a status has to be one."""
    assert len(filled.query(filter={"status": {"$like": "fin%"}})) == 10


def test_absence_is_asked_for(filled):
    """A task without the attribute is found by $exists and by None."""
    assert column(filled.query(["task_id"], {"used.x": {"$exists": False}}), "task_id") == ["bad"]
    assert column(filled.query(["task_id"], {"used.x": None}), "task_id") == ["bad"]
    assert len(filled.query(["task_id"], {"used.x": {"$ne": None}})) == 10


def test_default_projection_shows_all_attributes(filled):
    """Trial, task, transformation, status, then what was used and generated."""
    frame = filled.query(limit=3)
    assert list(frame.columns) == [
        *("trial_id", "task_id", "transformation", "status"),
        *("used.x", "used.opt", "used.big", "generated.accuracy"),
    ]
    assert len(frame) == 3


@pytest.fixture
def shared(store):
    """Two dataflows with attributes of the same names and others, of other types, and one without runs."""
    for flow in ("f", "g"):
        x = item("model", flow, x=0.5 if flow == "f" else "high", **{f"only_{flow}": 1})
        records = [begin("1", x), end("1", item("score", flow, accuracy=0.9, **{f"said_{flow}": None}))]
        learning = {"transformation": "train" if flow == "f" else "learn"}
        records = [record._replace(**learning) for record in records]
        plot = end("2", item("plot", flow, path=flow), transformation="test")
        records += [begin("2", transformation="test"), plot]
        moved = [one._replace(run_id=flow, dataflow=flow) for one in records]
        store.commit(run(flow, flow), *moved, client=flow)
    store.commit(Specification("h", 1, {}, {"never": [["absent", "NUMERIC"]]}))
    return store.ask


ALWAYS = ["trial_id", "task_id", "transformation", "status"]


@pytest.mark.parametrize(
    ("condition", "attributes"),
    [
        ({"dataflow": "f"}, ["used.x", "used.only_f", "generated.accuracy", "generated.path"]),
        ({"transformation": "train"}, ["used.x", "used.only_f", "generated.accuracy"]),
        ({"transformation": "learn"}, ["used.x", "used.only_g", "generated.accuracy"]),
        ({"used.only_g": 1}, ["used.x", "used.only_g", "generated.accuracy"]),
        (None, ["used.x", "used.only_f", "used.only_g", "generated.accuracy", "generated.path"]),
        ({"used.only_g": 7, "dataflow": "f"}, ["used.only_g"]),
    ],
)
def test_default_projection_shows_attributes_of_the_answers_tasks(shared, condition, attributes):
    """Not those of other dataflows and transformations; what the filter names is there in any case."""
    frame = shared.query(filter=condition)
    assert list(frame.columns) == ALWAYS + attributes


def test_default_projection_is_of_the_rows_that_a_limit_leaves(shared):
    """What is sorted by is there in any case."""
    frame = shared.query(sort=[("dataflow", "descending"), ("task_id", "ascending")], limit=1)
    assert list(frame.columns) == [*ALWAYS, "used.x", "used.only_g", "generated.accuracy"]
    frame = shared.query(filter={"dataflow": "f"}, sort=[("used.only_g", "ascending")])
    assert "used.only_g" in frame.columns


def test_other_dataflows_do_not_change_the_type_of_an_attribute(shared):
    """A namesake that is a text elsewhere makes no text of a number."""
    (value,) = shared.query(filter={"transformation": "train"})["used.x"]
    assert value == 0.5
    assert isinstance(value, float)


def test_aggregates_are_grouped_by_the_other_fields(filled):
    """Best first, by the aggregate's own name."""
    frame = filled.query(
        ["used.opt", "generated.accuracy"],
        {"used.x": {"$exists": True}},
        [("max", "generated.accuracy"), ("count", "task_id"), ("sum", "used.x")],
        [("max(generated.accuracy)", "descending")],
    )
    assert frame.to_numpy().tolist() == [["adam", 0.9, 5, 25.0], ["sgd", 0.8, 5, 20.0]]


def test_aggregate_alone_is_one_row(filled):
    """Without fields to show there is one group."""
    assert filled.query(aggregation=[("avg", "generated.accuracy")]).to_numpy().tolist() == [
        [pytest.approx(0.45)]
    ]


def test_several_items_of_a_dataset_are_rows_and_never_mixed(store):
    """A task that generated three items has three rows, each with the values of one item."""
    epochs = [item("epoch", number=n, loss=10 - n) for n in range(3)]
    store.commit(begin("t", item("model", lr=0.1)), end("t", *epochs))
    frame = store.ask.query(
        ["used.lr", "generated.number", "generated.loss"], sort=[("generated.number", "ascending")]
    )
    assert frame.to_numpy().tolist() == [[0.1, 0, 10], [0.1, 1, 9], [0.1, 2, 8]]


def test_attribute_of_two_datasets_is_told_apart_by_the_dataset(store):
    """`used.<dataset>.<attribute>`; without the dataset, the first that has a value, of any types."""
    store.commit(begin("t", item("a", x=1), item("b", x="two")), begin("u", item("b", x="three")))
    frame = store.ask.query(["used.x", "used.a.x", "used.b.x"], sort=[("task_id", "ascending")])
    assert column(frame, "used.x") == ["1", "three"]
    assert column(store.ask.query(["task_id"], {"used.x": "three"}), "task_id") == ["u"]
    with pytest.raises(QueryError, match=r"used: x, a\.x, b\.x\n"):
        store.ask.query(["used.c.x"])
    assert column(frame, "used.b.x") == ["two", "three"]
    assert frame["used.a.x"][0] == 1
    assert math.isnan(frame["used.a.x"][1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"projection": ["used.y"]},
            r"'used.y'. Did you mean 'used.x'\? There are:\n  used: x, opt, big\n  generated: accuracy",
        ),
        ({"projection": ["accuracy"]}, r"Did you mean 'generated.accuracy'\?"),
        ({"projection": ["used.accuracy"]}, r"Did you mean 'generated.accuracy'\?"),
        ({"projection": ["accuracies"]}, r"Did you mean 'generated.accuracy'\?"),
        ({"projection": ["duration_s"]}, r"Did you mean 'task.duration_s'\?"),
        ({"projection": ["host"]}, r"Did you mean 'task.host' or 'run.host'\?"),
        ({"filter": {"status": "faild"}}, "no status can be 'faild'. Did you mean 'failed'"),
        (
            {"filter": {"run.status": {"$in": ["failed", "x"]}}},
            "no run.status can be 'x'. There are running, finished, failed, stopped.",
        ),
        ({"filter": {"trial.status": {"$ne": "done"}}}, "no trial.status can be 'done'"),
        (
            {"filter": {"used.x": {"$eq": Literal("many")}}},
            "used.x is integer, it cannot be compared with 'many'",
        ),
        ({"filter": {"used.x": {"$eq": Literal("3", is_quoted=True)}}}, "cannot be compared with '3'"),
        ({"projection": ["generated.x"]}, "unknown field 'generated.x'"),
        ({"projection": "used.x"}, "a projection is a list of fields"),
        ({"filter": {"nonsense": 1}}, "unknown field 'nonsense'"),
        ({"filter": {"used.x": {"$regex": "a"}}}, r"unknown operator '\$regex'; there are \$eq, \$ne"),
        ({"filter": {"$xor": []}}, r"unknown operator '\$xor'; there are \$and, \$or, \$not"),
        ({"filter": {"$or": {"used.x": 1}}}, r"\$or takes a list of filters"),
        ({"filter": {"$not": 3}}, "a filter is a mapping"),
        ({"filter": [1]}, "a filter is a mapping"),
        ({"filter": {"used.x": "many"}}, "used.x is integer, it cannot be compared with 'many'"),
        ({"filter": {"used.x": True}}, "used.x is integer, it cannot be compared with True"),
        ({"filter": {"used.opt": 3}}, "used.opt is text, it cannot be compared with 3"),
        ({"filter": {"used.opt": {"$in": ["a", 3]}}}, "cannot be compared with 3"),
        ({"filter": {"used.x": {"$in": "abc"}}}, r"\$in takes a list"),
        ({"filter": {"used.opt": {"$like": 3}}}, r"\$like takes a pattern"),
        ({"filter": {"used.x": {"$gt": None}}}, "cannot be compared with None"),
        ({"filter": {"used.x": [1]}}, r"cannot be compared with \[1\]"),
        ({"filter": {"status": 3}}, "status is text"),
        ({"aggregation": [("median", "used.x")]}, "unknown aggregation 'median'; there are min, max"),
        ({"aggregation": [("sum", "used.opt")]}, "sum is for numbers, used.opt is text"),
        ({"filter": {"used.x": {"$like": "1%"}}}, "used.x is integer; patterns are for text"),
        ({"aggregation": ["max"]}, r"an aggregation is a list of \(function, field\)"),
        ({"sort": [("used.x", "up")]}, "a sort is ascending or descending, got 'up'"),
        ({"sort": "used.x"}, "a sort is a list of"),
        ({"aggregation": [("max", "used.x")], "sort": [("used.opt", "ascending")]}, r"sort by max\(used.x\)"),
        ({"limit": -1}, "a limit is a whole number from 0 on, got -1"),
        ({"limit": "3"}, "a limit is a whole number"),
        ({"limit": 2**63}, "a limit is a whole number"),
    ],
)
def test_wrong_question_says_what_there_is(filled, arguments, message):
    """QueryError, with what was received and what would be right."""
    with pytest.raises(QueryError, match=message):
        filled.query(**arguments)


def test_query_works_on_an_empty_store(store):
    """No tasks, no attributes, no error."""
    assert len(store.ask.query()) == len(store.ask.runs()) == len(store.ask.tasks("r")) == 0
    assert len(store.ask.studies()) == len(store.ask.trials("s")) == 0
