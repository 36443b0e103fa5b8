"""That a query which looks at some tasks only answers as one that looks at all of them."""

import itertools
import operator
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from optiprov.records import RunEnd
from optiprov.store.attributes import read_attributes
from tests.store.conftest import begin, end, item, reference, run

DATASETS = ("a", "b")
SIDES = ("used", "generated")
COMPARISONS = {
    "$eq": operator.eq,
    "$ne": operator.ne,
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}
numbers = st.integers(0, 3)
values = st.fixed_dictionaries(
    {}, optional={"x": numbers, "y": numbers.map(str) | st.just("'"), "half": numbers.map(lambda n: n / 2)}
)
new_items = st.tuples(st.sampled_from(DATASETS), values)
sides = st.tuples(st.lists(new_items, max_size=2), st.lists(st.integers(0, 9), max_size=1))
tasks = st.tuples(sides, sides, st.sampled_from(["both", "begin", "end"]))
conditions = st.one_of(
    st.tuples(st.sampled_from(sorted(COMPARISONS)), numbers).map(lambda one: {one[0]: one[1]}),
    st.tuples(numbers, numbers).map(lambda two: {"$gte": two[0], "$lt": two[1]}),
    st.lists(numbers, max_size=2).map(lambda some: {"$in": some}),
    st.booleans().map(lambda there: {"$exists": there}),
    numbers.map(lambda value: {"$not": {"$gt": value}}),
    st.sampled_from([{"$eq": None}, {"$ne": None}]),
)
leaves = st.tuples(st.integers(0, 99), conditions)
filters = st.recursive(
    st.lists(leaves, min_size=1, max_size=2),
    lambda inner: st.tuples(
        st.sampled_from(["$and", "$or", "$not"]), st.lists(inner, min_size=1, max_size=2)
    ),
    max_leaves=4,
)


def fill(store, described):
    """Commit tasks; return what each one used and generated, as (dataset, values), by its id."""
    known, model = [], {}
    for number, (used, generated, said) in enumerate(described):
        recorded = {}
        for side, (new, referred) in zip(SIDES, (used, generated), strict=True):
            if said == {"used": "end", "generated": "begin"}[side]:
                new, referred = [], []
            whole = [item(dataset, **attributes) for dataset, attributes in new]
            old = [known[one % len(known)] for one in referred if known]
            recorded[side] = [*whole, *map(reference, old)]
            model.setdefault(f"t{number}", {})[side] = [(one.dataset, one.attributes) for one in whole + old]
            known += whole
        if said != "end":
            store.commit(begin(f"t{number}", *recorded["used"]))
        if said != "begin":
            store.commit(end(f"t{number}", *recorded["generated"]), client="other")
    return model


def rows_of(task, places):
    """Return the rows of a task: each choice of one item of each dataset that is looked at, or none."""
    choices = [[values for dataset, values in task[side] if dataset == name] or [{}] for side, name in places]
    return [dict(zip(places, chosen, strict=True)) for chosen in itertools.product(*choices)]


def value_of(row, field):
    """Return the value of a field in a row: that of the first dataset, in the store's order, with one."""
    side, name = field
    return next((there[name] for (at, _), there in row.items() if at == side and name in there), None)


def holds(row, where, fields):
    """Return whether a filter is true of a row, false, or (None) neither, as SQL has it."""
    truths = []
    for name, condition in where.items():
        if name == "$and":
            truths.append(every([holds(row, part, fields) for part in condition]))
        elif name == "$or":
            truths.append(negated(every([negated(holds(row, part, fields)) for part in condition])))
        elif name == "$not":
            truths.append(negated(holds(row, condition, fields)))
        else:
            truths.append(compared(value_of(row, fields[name]), condition))
    return every(truths)


def compared(value, condition):
    """Return whether the comparisons are true of a value."""
    truths = []
    for name, other in condition.items():
        if name == "$exists":
            truths.append((value is not None) == other)
        elif name == "$not":
            truths.append(negated(compared(value, other)))
        elif other is None:
            truths.append((value is None) == (name == "$eq"))
        elif name == "$in" and not other:
            truths.append(False)
        elif value is None:
            truths.append(None)
        else:
            truths.append(value in other if name == "$in" else COMPARISONS[name](value, other))
    return every(truths)


def every(truths):
    """Return the conjunction in three values."""
    return False if False in truths else None if None in truths else True


def negated(truth):
    """Return the negation in three values."""
    return None if truth is None else not truth


def written(drawn, fields):
    """Return a filter over the fields that the store has, of what was drawn."""
    if isinstance(drawn, tuple):
        name, inner = drawn
        parts = [written(one, fields) for one in inner]
        return {name: parts[0] if name == "$not" else parts}
    where = {}
    for number, condition in drawn:
        field = sorted(fields)[number % len(fields)]
        where[field] = texts(condition) if fields[field][1] == "y" else condition
    return where


def texts(condition):
    """Return a condition on numbers as one on their texts."""
    return {name: as_text(value) for name, value in condition.items()}


def as_text(value):
    """Return numbers as text, wherever they are."""
    if isinstance(value, dict):
        return texts(value)
    if isinstance(value, list):
        return [str(one) for one in value]
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def test_query_finds_what_a_look_at_every_row_finds(new_store, examples):
    """Items of several datasets, one item of several tasks, begins without end, and any filter."""

    @examples(60)
    @given(described=st.lists(tasks, min_size=1, max_size=6), drawn=st.lists(filters, min_size=1, max_size=6))
    def check(described, drawn):
        store = new_store()
        model = fill(store, described)
        there = [(side, a) for a in read_attributes(store.ask._rows) for side in sorted(a.sides)]
        fields = {f"{side}.{attribute.name}": (side, attribute.name) for side, attribute in there}
        places = list(dict.fromkeys((side, attribute.dataset) for side, attribute in there))
        for one in drawn if fields else []:
            where = written(one, fields)
            found = store.ask.fetch(*astuple(store.ask.compile(["task_id", *sorted(fields)], where)))
            rows = Counter(zip(*(column.to_pylist() for column in found.columns), strict=True))
            assert rows == looked_at(model, places, fields, where), where

    check()


def looked_at(model, places, fields, where):
    """Return the rows of tasks that a filter is true of, by a look at all of them."""
    return Counter(
        (task_id, *(value_of(row, fields[name]) for name in sorted(fields)))
        for task_id, task in model.items()
        for row in rows_of(task, places)
        if holds(row, where, fields)
    )


def astuple(compiled):
    """Return the SQL of a query and its parameters."""
    return compiled.sql, compiled.parameters


def test_narrowed_query_reads_few_rows(store):
    """The plan reads the tables of tasks only for those that the filter can be true of."""
    store.commit(run(), *(begin(f"t{n}", item("model", x=n)) for n in range(3)))
    sql = store.ask.compile(["task_id"], {"used.x": {"$gt": 1}}).sql
    assert sql.startswith("WITH narrowed AS (SELECT d.task AS task FROM dataset.d1 d WHERE d.a1 > ?)")
    assert "prov.used" not in sql
    assert store.ask.query(["task_id"], {"used.x": {"$gt": 1}})["task_id"].tolist() == ["t2"]


def test_many_alternatives_are_not_looked_for_one_by_one(store):
    """An engine would plan for longer than it takes to look at every row; the answer is the same."""
    store.commit(run(), *(end(f"t{n}", item("out", x=n)) for n in range(20)))
    for count in (3, 500):
        where = {"$or": [{"generated.x": n + 10} for n in range(count)]}
        assert len(store.ask.query(["task_id"], where)) == min(count, 10)
        assert ("UNION" in store.ask.compile(["task_id"], where).sql.partition("narrowed_begin")[0]) == (
            count == 3
        )


def test_reference_to_an_item_is_followed(store):
    """A task that uses what another has generated is found by its values, as is that other."""
    model = item("model", loss=0.25)
    store.commit(begin("train"), end("train", model), begin("use", reference(model)))
    frame = store.ask.query(["task_id"], {"used.loss": {"$lt": 1}})
    assert frame["task_id"].tolist() == ["use"]
    assert store.ask.query(["task_id"], {"generated.loss": 0.25})["task_id"].tolist() == ["train"]


def test_run_is_the_same_from_its_begins_and_from_its_view(store):
    """What a run's begins tell is read without its ends; several processes joined the run."""
    store.commit(run(), begin("t", item("model", x=1)), trial="t1")
    store.commit(run(), RunEnd("r", 9, "finished", 1), client="d", trial="t1")
    names = ["run_id", "dataflow", "campaign_id", "study", "trial_id", "run.agent", "run.host", "run.pid"]
    names.append("run.started_at")
    short = store.ask.query(names, {"used.x": 1})
    assert "prov.run " not in store.ask.compile(names).sql
    whole = store.ask.query([*names, "run.status"], {"used.x": 1})
    assert "prov.run " in store.ask.compile([*names, "run.status"]).sql
    assert short.equals(whole[names])
    assert short["trial_id"].tolist() == ["t1"]
