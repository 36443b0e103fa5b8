"""Specifications: before, after or without the data, again and changed, and values laid on them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optiprov.records import Specification, TaskData
from optiprov.store import relaying, writer
from optiprov.store.writer import Writer
from tests.store.conftest import Store, begin, end, item, reference, run

FOUR = {"kernel": "NUMERIC", "kernels": "NUMERIC", "strides": "NUMERIC", "optimizer": "TEXT"}


def spec(dataflow="f", transformation="train", datasets=None, *, used=("in",), generated=("out",)):
    """Return a specification of one transformation; its datasets are mappings of attributes to types."""
    sets = {"used": dict.fromkeys(used), "generated": list(generated)}
    listed = {name: [list(pair) for pair in attributes.items()] for name, attributes in datasets.items()}
    return Specification(dataflow, 1_000_000, {transformation: sets}, listed)


def four():
    """Return a specification of a dataset with four attributes."""
    return spec(datasets={"in": FOUR})


def laid(store):
    """Return what the view of the dataset says of the four attributes, by task."""
    return store.rows(
        'SELECT t.task_id, kernel, kernels, strides, optimizer FROM "in" i'
        " JOIN prov.task t ON t.task = i.train_task_id ORDER BY t.task_id"
    )


def attributes_of(store, dataset="in"):
    """Return the columns of a dataset, with their types."""
    return dict(
        store.rows(
            "SELECT a.attribute, a.type FROM prov.attribute a JOIN prov.dataset d"
            " ON d.dataset_key = a.dataset_key WHERE d.dataset = ?",
            dataset,
        )
    )


def reasons(store):
    """Return why things were rejected."""
    return [reason for (reason,) in store.rows("SELECT reason FROM prov.rejected ORDER BY reason")]


def test_specification_without_data_gives_empty_views_to_join(store):
    """Each dataset has its view, with its attributes and the task's column, before any data came."""
    store.commit(spec(datasets={"in": FOUR, "out": {"accuracy": "NUMERIC"}}))
    joined = 'SELECT kernel, accuracy FROM "in" i JOIN out o ON i.train_task_id = o.train_task_id'
    assert store.rows(joined) == []
    assert attributes_of(store) == {
        "kernel": "integer",
        "kernels": "integer",
        "strides": "integer",
        "optimizer": "text",
    }
    assert store.rows("SELECT dataflow, version FROM prov.dataflow") == [("f", 1)]
    assert store.rows("SELECT transformation, role, dataset FROM prov.transformation_dataset ORDER BY 2") == [
        ("train", "generated", "out"),
        ("train", "used", "in"),
    ]


@pytest.mark.parametrize("order", ["before", "after", "with"])
def test_list_under_a_foreign_name_is_laid_on_the_attributes_in_order(store, order):
    """Whether the specification came before, after, or in one commit with the data."""
    data = begin("1", item("in", hyperparameters=[3, 12.5, 2, "sgd"]))
    commits = {"before": [[four()], [data]], "after": [[data], [four()]], "with": [[data, four()]]}[order]
    for records in commits:
        assert store.commit(*records).rejected == 0
    assert laid(store) == [("1", 3, 12.5, 2, "sgd")]
    assert set(attributes_of(store)) == set(FOUR)


def test_values_are_laid_by_name_where_names_match(store):
    """In any order; what is missing is NULL, what is more is an attribute of its own."""
    store.commit(four(), begin("1", item("in", optimizer=["adam"], kernel=[5], seed=[7])))
    assert laid(store) == [("1", 5, None, None, "adam")]
    assert store.rows('SELECT seed FROM "in"') == [(7,)]


def test_list_beside_matching_names_is_laid_on_the_others(store):
    """One value by name, and the rest as a list."""
    store.commit(four(), begin("1", item("in", kernel=[5], rest=[12, 2, "adam"])))
    assert laid(store) == [("1", 5, 12, 2, "adam")]


@pytest.mark.parametrize("values", [[], [3], 3, [3, 12, 2], [3, 12, 2, 9, 1]])
@pytest.mark.parametrize("is_late", [False, True])
def test_too_few_or_too_many_values_are_rejected_with_the_reason(store, values, is_late):
    """It names task, dataset, what was expected and what came; the task and the item are stored."""
    records = [four(), begin("7", item("in", hyperparameters=values))]
    for record in reversed(records) if is_late else records:
        store.commit(record)
    count = len(values) if isinstance(values, list) else 1
    if is_late and values == []:
        assert laid(store) == [("7", None, None, None, None)]
    (reason,) = reasons(store)
    assert reason == (
        "in of task 7 of train in run r: expected 4 values (kernel, kernels, strides, optimizer)"
        f" as version 1 of the specification says, got {count} under 'hyperparameters'"
    )
    assert laid(store) == [("7", None, None, None, None)]
    assert set(attributes_of(store)) == set(FOUR)
    ((payload,),) = store.rows("SELECT payload FROM prov.rejected")
    assert "hyperparameters" in payload


def test_same_specification_again_changes_nothing(store):
    """From another process, in another commit, in the same one, and after a restart of the writer."""
    store.commit(four())
    store.commit(four(), four(), client="other")
    again = Store(store.backend)
    again.commit(four(), client="third")
    assert store.rows("SELECT count(*) FROM prov.dataflow") == [(1,)]
    assert store.rows("SELECT count(*) FROM prov.dataset_attribute") == [(4,)]
    assert dict(store.rows("SELECT dataset, version FROM prov.dataset")) == {"in": 1, "out": 0}


def test_changed_attributes_are_a_new_version_and_old_rows_are_kept(store):
    """What an older version named keeps its values, and its name still is one."""
    store.commit(four(), begin("1", item("in", p=[3, 12, 2, "sgd"])))
    store.commit(spec(datasets={"in": {"kernel": "NUMERIC", "dropout": "NUMERIC"}}))
    store.commit(begin("2", item("in", p=[5, 0.5])), begin("3", item("in", kernels=[9])))
    assert laid(store) == [("1", 3, 12, 2, "sgd"), ("2", 5, None, None, None), ("3", None, 9, None, None)]
    assert store.rows('SELECT dropout FROM "in" WHERE dropout IS NOT NULL') == [(0.5,)]
    versions = "SELECT version, attribute FROM prov.dataset_attribute ORDER BY version, position"
    assert store.rows(versions) == [*((1, name) for name in FOUR), (2, "kernel"), (2, "dropout")]
    assert [version for (version,) in store.rows("SELECT version FROM prov.dataflow ORDER BY 1")] == [1, 2]


def test_single_renamed_attribute_does_not_take_the_old_ones_values(store):
    """Position says nothing across versions."""
    store.commit(spec(datasets={"in": {"p": "NUMERIC"}}), begin("1", item("in", p=[3])))
    store.commit(spec(datasets={"in": {"q": "NUMERIC"}}))
    assert store.rows('SELECT p, q FROM "in"') == [(3, None)]


def test_type_that_old_rows_do_not_fit_leaves_them_as_they_are(store):
    """A later version that calls a text a number keeps the text; where all fit, the column is numeric."""
    texts = {"in": {"a": "TEXT", "b": "TEXT"}}
    store.commit(spec(datasets=texts), begin("1", item("in", a="high", b="2.5")))
    store.commit(spec(datasets={"in": {"a": "NUMERIC", "b": "NUMERIC"}}))
    assert store.rows('SELECT a, b FROM "in"') == [("high", 2.5)]
    assert reasons(store) == []


def test_values_that_came_first_take_the_specified_types(store):
    """Numbers become texts and texts numbers; what is none is rejected, as it would be behind it."""
    store.commit(begin("1", item("in", a=5, b="0.5")), begin("2", item("in", a=6, b="high")))
    store.commit(spec(datasets={"in": {"a": "TEXT", "b": "NUMERIC"}}))
    assert store.rows('SELECT a, b FROM "in" ORDER BY a') == [("5", 0.5), ("6", None)]
    assert reasons(store) == ["in.b of task 2 of train in run r: the attribute is double, got 'high' (text)"]


def test_rows_that_came_first_are_relaid_some_at_a_time(store, monkeypatch):
    """However many there are: types, lists, and what does not fit, each of it rejected with its task."""
    monkeypatch.setattr(relaying, "_ROWS_AT_ONCE", 10)
    monkeypatch.setattr(writer, "_REJECTED_AT_ONCE", 5)
    for commit in range(10):
        store.commit(*(begin(f"{commit}-{n}", item("in", p=[n, 0.5 * commit, 7, n])) for n in range(6)))
    store.commit(*(begin(f"bad-{n}", item("in", p=[n])) for n in range(6)))
    store.commit(*(begin(f"text-{n}", item("in", p=["x", n, n, n])) for n in range(6)))
    sizes = []
    fetch, insert_from = store.backend.fetch, store.backend.insert_from

    def noted(table):
        sizes.append(len(table))
        return table

    monkeypatch.setattr(store.backend, "fetch", lambda *given, **more: noted(fetch(*given, **more)))
    monkeypatch.setattr(
        store.backend,
        "insert_from",
        lambda table, sql, values, change: insert_from(table, sql, values, lambda rows: change(noted(rows))),
    )
    outcome = store.commit(four())
    monkeypatch.undo()
    assert max(sizes) == 12
    assert sum(sizes) >= 3 * 72  # to learn, to reject, to rewrite
    expected = [(f"{c}-{n}", n, 0.5 * c, 7, str(n)) for c in range(10) for n in range(6)]
    expected += [(f"bad-{n}", None, None, None, None) for n in range(6)]
    expected += [(f"text-{n}", None, n, n, str(n)) for n in range(6)]
    assert laid(store) == sorted(expected)
    assert set(attributes_of(store)) == set(FOUR)
    assert outcome.rejected == 12
    told = [f"in of task bad-{n} of train in run r: expected 4 values" for n in range(6)]
    told += [f"in.kernel of task text-{n} of train in run r: the attribute is integer" for n in range(6)]
    assert [
        reason[: len(start)] for reason, start in zip(reasons(store), sorted(told), strict=True)
    ] == sorted(told)


@pytest.mark.parametrize(
    ("text", "number"),
    [("7", 7), (" -0.5 ", -0.5), ("1e3", 1000.0), ("2026_01", None), ("", None), ("0x1f", None)],
)
def test_numbers_come_as_text(store, text, number):
    """As DfAnalyzer's clients send them; what people would not call a number is rejected."""
    store.commit(spec(datasets={"in": {"n": "NUMERIC"}}), begin("1", item("in", n=text)))
    assert store.rows('SELECT n FROM "in"') == [(number,)]
    assert len(reasons(store)) == (number is None)


def test_two_dataflows_have_a_dataset_of_one_name_with_attributes_of_their_own(store):
    """A list goes to the attributes of its own dataflow."""
    store.commit(spec("f", datasets={"in": {"a": "NUMERIC"}}), spec("g", datasets={"in": {"b": "TEXT"}}))
    store.commit(begin("1", item("in", v=[1])), begin("2", item("in", dataflow="g", v=["x"])))
    assert store.rows('SELECT a FROM f."in"') == [(1,)]
    assert store.rows('SELECT b FROM g."in"') == [("x",)]


def test_output_used_by_several_transformations_has_the_tasks_of_each(store):
    """Its view has a column for each, empty until a task uses the item."""
    store.commit(spec(transformation="extract", datasets={"out": {"n": "NUMERIC"}}))
    store.commit(
        Specification(
            "f",
            2,
            {
                "extract": {"used": {}, "generated": ["out"]},
                "train": {"used": {"out": "extract"}, "generated": []},
                "plot": {"used": {"out": "extract"}, "generated": []},
            },
            {"out": [["n", "NUMERIC"]]},
        )
    )
    made = item("out", v=[64])
    store.commit(end("1", made, transformation="extract"))
    store.commit(begin("2", reference(made), transformation="train"))
    ((n, extract, train, plot),) = store.rows(
        "SELECT n, extract_task_id, train_task_id, plot_task_id FROM out"
    )
    assert n == 64
    tasks = dict(store.rows("SELECT transformation, task FROM prov.task"))
    assert (extract, train, plot) == (tasks["extract"], tasks["train"], None)
    sources = store.rows("SELECT transformation, source FROM prov.transformation_dataset WHERE source <> ''")
    assert sorted(sources) == [("plot", "extract"), ("train", "extract")]


def test_file_attributes_make_files_of_their_paths(store):
    """Before and behind the specification alike, one row each."""
    store.commit(begin("1", item("in", path="/a/b.csv")))
    for _ in range(2):
        store.commit(spec(datasets={"in": {"path": "FILE"}}))
    store.commit(begin("2", item("in", path="/c.csv")), begin("3", item("in", path=None)))
    assert store.rows("SELECT path, role FROM prov.file ORDER BY path") == [
        ("/a/b.csv", "path"),
        ("/c.csv", "path"),
    ]


def test_numeric_attribute_takes_integers_and_doubles_as_values_demand(store):
    """Integers stay exact until the first fraction comes; numbers may come as text."""
    store.commit(spec(datasets={"in": {"x": "NUMERIC"}}), begin("1", item("in", x=2**62)))
    assert store.rows('SELECT x FROM "in"') == [(2**62,)]
    store.commit(begin("2", item("in", x="0.5")), begin("3", item("in", x=True)))
    assert sorted(x for (x,) in store.rows('SELECT x FROM "in"')) == [0.5, 1.0, float(2**62)]


WRONG = [
    ({"train": {"used": ["in"]}}, {}, "a mapping of datasets to transformations, got ['in']"),
    ({"train": {"sets": []}}, {}, "has used, generated and programs"),
    ({"train": {"generated": "out"}}, {}, "a list of datasets, got 'out'"),
    ({"train": {"programs": [1]}}, {}, "a list of [name, path], got [1]"),
    ({}, {"in": {"x": "TEXT"}}, "is a list of attributes"),
    ({}, {"in": [["x"]]}, "is [name, type], got ['x']"),
    ({}, {"in": [["x", "REAL"]]}, "in.x is of type TEXT or NUMERIC or FILE, got 'REAL'"),
    ({}, {"in": [["x", "TEXT"], ["x", "TEXT"]]}, "has the attribute 'x' twice"),
]


@pytest.mark.parametrize(("transformations", "datasets", "reason"), WRONG)
def test_wrong_specification_is_rejected_with_the_reason(store, transformations, datasets, reason):
    """The rest of its batch is stored."""
    outcome = store.commit(Specification("f", 1, transformations, datasets), run())
    assert (outcome.records, outcome.rejected) == (1, 1)
    assert reason in reasons(store)[0]
    assert store.rows("SELECT count(*) FROM prov.dataflow") == [(0,)]


def test_data_of_a_task_between_its_begin_and_its_end_is_stored(store):
    """As used or as generated; another role is rejected."""
    values = ("r", "1", "train", "f")
    store.commit(begin("1"), TaskData(*values, "used", "i1", "in", [], {"x": 1}))
    store.commit(TaskData(*values, "generated", "i2", "out", ["i1"], {"y": 2}), end("1"))
    assert store.rows('SELECT i.x, o.y FROM "in" i JOIN out o USING (train_task_id)') == [(1, 2)]
    assert store.rows("SELECT count(*) FROM prov.derivation") == [(1,)]
    assert store.commit(TaskData(*values, "eaten", "i3", "in", [], {})).rejected == 1


_NUMBERS = st.integers(-(2**50), 2**50) | st.floats(-1e9, 1e9)
_TEXTS = st.text(max_size=5)
_ITEMS = st.lists(
    st.one_of(
        st.builds(lambda a, b: {"v": [a, b]}, _NUMBERS | _TEXTS, _TEXTS | st.integers() | st.booleans()),
        st.builds(lambda values: {"v": values}, st.lists(_TEXTS, min_size=3, max_size=4)),
        st.fixed_dictionaries({}, optional={"a": st.none() | _NUMBERS, "b": st.none() | _TEXTS}),
    ),
    max_size=4,
)


def test_rows_are_the_same_wherever_the_specification_arrives(new_store, examples):
    """Lists of any values, and values by name, with the specification at any place among them."""
    two = spec(datasets={"in": {"a": "NUMERIC", "b": "TEXT"}})
    laid_out = 'SELECT t.task_id, a, b FROM "in" i JOIN prov.task t ON t.task = i.train_task_id ORDER BY 1'

    @examples(15)
    @given(items=_ITEMS, place=st.integers(0, 4))
    def check(items, place):
        records = [begin(str(n), item("in", **attributes)) for n, attributes in enumerate(items)]
        found = []
        for order in ([two, *records], [*records[:place], two, *records[place:]]):
            store = new_store()
            for record in order:
                store.commit(record)
            found.append(store.rows(laid_out))
        assert repr(found[0]) == repr(found[1])  # NaN is not equal to itself

    check()


def test_restarted_writer_goes_on_with_the_specification(store):
    """What is known of datasets is in the store, not in a process."""
    store.commit(four())
    again = Store(store.backend)
    again.commit(begin("1", item("in", p=[3, 12, 2, "sgd"])), client="other")
    assert laid(store) == [("1", 3, 12, 2, "sgd")]
    assert isinstance(again.writer, Writer)
