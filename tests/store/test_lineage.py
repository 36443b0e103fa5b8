"""What led to a data item or a task, and what came of it, on each engine."""

import itertools
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optiprov.capture import Data, File, Task
from optiprov.errors import QueryError
from optiprov.records import Item, Status, TaskData, qualify_dependency
from optiprov.records.identity import item_key, task_key
from optiprov.store import connect
from optiprov.store.duckdb import DuckDBBackend
from optiprov.store.lineage import selection
from tests.store.conftest import begin, end, item, on_duckdb, reference, run


def file(path, item_id):
    """Return a version of a file."""
    return Item(item_id, "file", "", [], {}, {"path": path, "role": None, "size_bytes": 1})


def task(task_id, used=(), generated=(), **names):
    """Return begin and end of a task."""
    depends_on = names.pop("depends_on", ())
    return [begin(task_id, *used, depends_on=depends_on, **names), end(task_id, *generated, **names)]


def tasks_of(lineage):
    """Return the tasks of a lineage with their depths: those of a run `r` by their ids alone."""
    columns = lineage.tasks[["run_id", "task_id", "depth"]].itertuples(index=False)
    return {one if run_id == "r" else f"{run_id}/{one}": depth for run_id, one, depth in columns}


def items_of(lineage):
    """Return the items of a lineage with their depths."""
    return dict(zip(lineage.items["item_id"], lineage.items["depth"], strict=True))


def edges_of(lineage):
    """Return the edges of a lineage, with the ids of tasks and items in place of their keys."""
    tasks = dict(zip(lineage.tasks["task"], lineage.tasks["task_id"], strict=True))
    items = dict(zip(lineage.items["item"], lineage.items["item_id"], strict=True))
    names = {"used": (items, tasks), "generated": (tasks, items)}
    names |= {"derivation": (items, items), "dependency": (tasks, tasks)}
    return {
        (names[kind][0][first], names[kind][1][second], kind)
        for first, second, kind in lineage.edges.itertuples(index=False)
    }


@pytest.fixture
def chain(store):
    """Raw -1-> a -2-> b -3-> c, in which equal values mean nothing: each item has n = 1."""
    raw, a, b, c = (item("d", item_id=name, n=1) for name in ("raw", "a", "b", "c"))
    store.commit(
        run(),
        *task("1", [raw], [a], transformation="first"),
        *task("2", [reference(a)], [b], transformation="second"),
        *task("3", [reference(b)], [c], transformation="third"),
        *task("other", [item("d", item_id="x", n=1)], [item("d", item_id="y", n=1)], transformation="first"),
    )
    return store.ask


def test_chain_is_followed_up_and_down(chain):
    """From its end to its begin and back; what has equal values is no part of it."""
    up = chain.lineage("c")
    assert tasks_of(up) == {"3": 1, "2": 2, "1": 3}
    assert items_of(up) == {"c": 0, "b": 1, "a": 2, "raw": 3}
    assert edges_of(up) == {
        *(("raw", "1", "used"), ("a", "2", "used"), ("b", "3", "used")),
        *(("1", "a", "generated"), ("2", "b", "generated"), ("3", "c", "generated")),
    }
    down = chain.lineage("raw", "down")
    assert tasks_of(down) == {"1": 1, "2": 2, "3": 3}
    assert items_of(down) == {"raw": 0, "a": 1, "b": 2, "c": 3}
    assert edges_of(down) == edges_of(up)
    assert repr(down) == "Lineage(3 tasks, 4 items, 6 edges)"


def test_result_describes_tasks_and_items(chain):
    """Columns, their order, and that of the rows: by depth."""
    lineage = chain.lineage("c")
    names = ["task", "run_id", "transformation", "task_id", "status", "started_at", "ended_at", "dataflow"]
    assert list(lineage.tasks) == [*names, "depth"]
    assert list(lineage.items) == ["item", "item_id", "dataset", "path", "run_id", "depth"]
    assert list(lineage.edges) == ["from", "to", "kind"]
    assert lineage.tasks["transformation"].tolist() == ["third", "second", "first"]
    assert set(lineage.tasks["status"]) == {Status.FINISHED}
    assert set(lineage.tasks["dataflow"]) == {"f"}
    assert (lineage.tasks["ended_at"] - lineage.tasks["started_at"]).dt.total_seconds().tolist() == [2, 2, 2]
    assert lineage.tasks["task"].tolist() == [
        task_key("r", name, number) for name, number in (("third", "3"), ("second", "2"), ("first", "1"))
    ]
    assert lineage.items["item_id"].tolist() == ["c", "b", "a", "raw"]
    assert lineage.items["item"].tolist() == [item_key(name) for name in ("c", "b", "a", "raw")]
    assert set(lineage.items["dataset"]) == {"d"}
    assert lineage.items["path"].isna().all()


DEPTHS = [
    ("c", 0, set(), {"c"}),
    ("c", 1, {"3"}, {"c", "b"}),
    ("c", 2, {"3", "2"}, {"c", "b", "a"}),
    ("third/3", 0, {"3"}, {"b"}),
    ("third/3", 1, {"3", "2"}, {"b", "a"}),
    ("c", 9, {"3", "2", "1"}, {"c", "b", "a", "raw"}),
]


def test_depth_counts_tasks(chain):
    """The items that the last tasks used are there."""
    for start, depth, tasks, items in DEPTHS:
        lineage = chain.lineage(start, depth=depth)
        assert (set(tasks_of(lineage)), set(items_of(lineage))) == (tasks, items)


STOPS = [
    ("c", "up", "second", {"3", "2"}, {"c", "b"}),
    ("c", "up", ["second", "third"], {"3"}, {"c"}),
    ("raw", "down", ("second",), {"1", "2"}, {"raw", "a"}),
    ("third/3", "up", "third", {"3", "2", "1"}, {"b", "a", "raw"}),
]


def test_stop_at_cuts_behind_the_tasks_of_a_transformation(chain):
    """They are in it, what lies behind is not; a start goes on, whatever its transformation."""
    for start, direction, stop_at, tasks, items in STOPS:
        lineage = chain.lineage(start, direction, stop_at=stop_at)
        assert (set(tasks_of(lineage)), set(items_of(lineage))) == (tasks, items)


def test_derivation_through_a_stop_is_cut_too(store):
    """It is the way through the task that generated the derived item; derivations beside it are followed."""
    a = item(item_id="a")
    b = item(item_id="b", derived_from=["a"])
    c = item(item_id="c", derived_from=["b", "elsewhere"])
    store.commit(
        *task("1", [a], [b], transformation="average"),
        *task("2", [reference(b)], [c], transformation="draw"),
    )
    assert set(items_of(store.ask.lineage("c", stop_at="average")).values()) == {0, 1}
    assert store.ask.lineage("c", stop_at="average").items["item"].tolist()[1:] == sorted(
        [item_key("b"), item_key("elsewhere")], key=lambda key: key != item_key("b")
    )
    assert set(items_of(store.ask.lineage("a", "down", stop_at="average"))) == {"a"}
    assert set(items_of(store.ask.lineage("a", "down"))) == {"a", "b", "c"}


def test_diamond_has_each_node_once(store):
    """At its least depth; an item that two tasks used has an edge to each."""
    top, left, right, bottom = (item(item_id=name) for name in ("top", "left", "right", "bottom"))
    store.commit(
        *task("0", [], [top]),
        *task("1", [reference(top)], [left]),
        *task("2", [reference(top)], [right]),
        *task("3", [reference(left), reference(right), reference(top)], [bottom]),
    )
    lineage = store.ask.lineage("bottom")
    assert tasks_of(lineage) == {"3": 1, "0": 2, "1": 2, "2": 2}
    assert items_of(lineage) == {"bottom": 0, "left": 1, "right": 1, "top": 1}
    assert len(edges_of(lineage)) == len(lineage.edges) == 9


def test_edges_between_what_is_in_it_are_all_there(store):
    """Also those that lie beyond the depth, or behind a stop."""
    a, b = item(item_id="a"), item(item_id="b")
    store.commit(
        *task("1", [], [a], transformation="make"),
        *task("2", [reference(a)], [b], depends_on=["1"], transformation="change"),
        *task("3", [reference(a), reference(b)], depends_on=["1"], transformation="show"),
    )
    depth = store.ask.lineage("show/3", depth=1)
    assert (tasks_of(depth), items_of(depth)) == ({"3": 0, "1": 1, "2": 1}, {"a": 0, "b": 0})
    assert {("2", "b", "generated"), ("1", "a", "generated"), ("1", "2", "dependency")} < edges_of(depth)
    stopped = store.ask.lineage("show/3", stop_at="change")
    assert edges_of(stopped) == edges_of(depth)


def test_one_item_links_runs_of_several_dataflows(store):
    """The second run refers to what the first one generated."""
    shared, result = item(item_id="shared"), item(item_id="result")
    store.commit(run("one"), *task("1", [], [shared], run_id="one"), client="a")
    store.commit(
        run("two", "g"), *task("1", [reference(shared)], [result], run_id="two"), client="b", trial="t"
    )
    assert tasks_of(store.ask.lineage("result")) == {"two/1": 1, "one/1": 2}
    assert tasks_of(store.ask.lineage("shared", "down")) == {"two/1": 1}


def test_file_links_runs_by_its_version(store):
    """A path that was written twice is two versions, each with a lineage of its own; the path has both."""
    old, new = file("/data/x.csv", "v1"), file("/data/x.csv", "v2")
    store.commit(
        *task("1", [], [old], run_id="one"),
        *task("1", [], [new], run_id="two"),
        *task("1", [reference(old)], run_id="three"),
    )
    assert tasks_of(store.ask.lineage("v1", "down")) == {"three/1": 1}
    assert tasks_of(store.ask.lineage("three/train/1")) == {"three/1": 0, "one/1": 1}
    both = store.ask.lineage("/data/x.csv")
    assert tasks_of(both) == {"one/1": 1, "two/1": 1}
    assert both.items["path"].tolist() == ["/data/x.csv"] * 2
    assert items_of(both) == {"v1": 0, "v2": 0}


def test_path_is_found_from_the_directory_it_is_written_in(store, tmp_path, monkeypatch):
    """Relative to here, as text or as a path; an item with the path as its id is that item alone."""
    monkeypatch.chdir(tmp_path)
    store.commit(*task("1", [], [file(str(tmp_path / "x"), "v1")]), *task("2", [], [file("y", "y")]))
    store.commit(*task("3", [], [file("y", "v2")]))
    for start in ("x", tmp_path / "x", tmp_path.relative_to(tmp_path) / "x"):
        assert tasks_of(store.ask.lineage(start)) == {"1": 1}
    assert tasks_of(store.ask.lineage("y")) == {"2": 1}


def test_derivation_is_followed_without_tasks(store):
    """Each counts as the task that it went through."""
    sources = [item(item_id="s0"), item(item_id="s1", derived_from=["s0"])]
    last = item(item_id="s2", derived_from=["s1"])
    store.commit(begin("1", *sources), begin("2", last))
    assert items_of(store.ask.lineage("s2")) == {"s2": 0, "s1": 1, "s0": 2}
    assert items_of(store.ask.lineage("s0", "down", depth=1)) == {"s0": 0, "s1": 1}
    assert edges_of(store.ask.lineage("s1")) == {("s0", "s1", "derivation")}


def test_dependency_is_followed_without_items(store):
    """By the transformation it names; one that is not recorded leads nowhere."""
    store.commit(
        *task("1", transformation="left"),
        *task("1", transformation="right"),
        *task("2", depends_on=[qualify_dependency("left", "1"), "never"]),
    )
    lineage = store.ask.lineage(("r", "train", "2"))
    assert lineage.tasks["transformation"].tolist() == ["train", "left"]
    assert edges_of(lineage) == {("1", "2", "dependency")}
    assert tasks_of(store.ask.lineage(("r", "left", "1"), "down")) == {"1": 0, "2": 1}
    assert len(store.ask.lineage(("r", "right", "1"), "down").tasks) == 1


def test_cycle_ends(store):
    """Bad data: an item that its own generator used, tasks and derivations that wait for each other."""
    a = item(item_id="a", derived_from=["b"])
    b = item(item_id="b", derived_from=["a"])
    store.commit(
        *task("1", [reference(b)], [a], depends_on=["2"]), *task("2", [reference(a)], [b], depends_on=["1"])
    )
    for direction in ("up", "down"):
        lineage = store.ask.lineage("a", direction)
        assert (set(tasks_of(lineage)), set(items_of(lineage))) == ({"1", "2"}, {"a", "b"})
        assert len(lineage.edges) == 8


def test_what_is_only_referred_to_has_its_key(store):
    """An item of a process whose records did not come, and a task of which only the data came."""
    data = TaskData("r", "late", "train", "f", "generated", "made", "d", [], {"n": 1})
    store.commit(begin("1", Item("gone", "d", "f", [], None, None)), data, end("2", reference(item("d"))))
    up = store.ask.lineage("train/1")
    assert up.items["item"].tolist() == [item_key("gone")]
    assert up.items["item_id"].isna().all()
    assert tasks_of(store.ask.lineage(up.items.iloc[0], "down")) == {"1": 1}
    assert tasks_of(store.ask.lineage("gone", "down")) == {"1": 1}
    made = store.ask.lineage("made")
    assert made.tasks["task"].tolist() == [task_key("r", "train", "late")]
    assert made.tasks["task_id"].isna().all()


def test_edge_that_is_told_twice_is_one(store):
    """And so is an item that two processes recorded whole."""
    one = item("d", item_id="one", n=1)
    store.commit(*task("1", [], [one, one]), client="a")
    store.commit(*task("2", [one, one, reference(one)]), client="b")
    lineage = store.ask.lineage("train/2")
    assert edges_of(lineage) == {("one", "2", "used"), ("1", "one", "generated")}
    assert (len(lineage.edges), len(lineage.items)) == (2, 1)


NAMES = [
    "r/train/2",
    "train/2",
    "r/2",
    "2",
    ("r", "train", 2),
    ("r", "2"),
    {"task_id": 2, "transformation": "train", "run_id": None},
    {"task": task_key("r", "train", "2")},
]


def test_task_is_named_as_briefly_as_it_is_clear(store):
    """By run, transformation and id, or by less where no other has it."""
    store.commit(*task("1", [], [item(item_id="a")]), *task("2", [item(item_id="b")], [item(item_id="c")]))
    for start in NAMES:
        lineage = store.ask.lineage(start)
        assert (tasks_of(lineage), items_of(lineage)) == ({"2": 0}, {"b": 0})


def test_names_with_slashes_are_found(store):
    """Wherever the slashes are."""
    store.commit(*task("a/1", run_id="study/7", transformation="m/train"))
    for start in ("study/7/m/train/a/1", "m/train/a/1", "study/7/a/1", "a/1"):
        assert tasks_of(store.ask.lineage(start)) == {"study/7/a/1": 0}


def test_rows_and_objects_are_starts(store):
    """Rows of `tasks(run)`, of a lineage and of a view; objects of the client, by their ids."""
    store.commit(run(), *task("1", [item("d", item_id="a", task_id="none")], [file("/x", "v1")]))
    tasks, view = store.ask.tasks("r"), store.ask.sql("SELECT * FROM d")
    lineage = store.ask.lineage(tasks.iloc[0], "down")
    assert items_of(lineage) == {"v1": 0}
    for start in (next(tasks.itertuples()), lineage.tasks.iloc[0]):
        assert tasks_of(store.ask.lineage(start)) == {"1": 0}
    for start in (lineage.items.iloc[0], File("/elsewhere", id="v1")):
        assert tasks_of(store.ask.lineage(start)) == {"1": 1}
    for start in (view.iloc[0], Data("d", "f", [], {}, id="a")):
        assert tasks_of(store.ask.lineage(start, "down")) == {"1": 1}
    workflow = SimpleNamespace(run_id="r", dataflow_id="f")
    assert tasks_of(store.ask.lineage(Task("1", workflow, "train"))) == {"1": 0}


UNCLEAR = [
    ("1", r"'1' names several tasks: q/train/1, r/other/1, r/train/1. Say which one"),
    ("train/1", r"several tasks: q/train/1, r/train/1\."),
    (("r", "1"), r"several tasks: r/other/1, r/train/1\."),
    ("modle", r"no data item, file or task 'modle'. Did you mean 'model'\?"),
    ("/data/y.csv", r"Did you mean '/data/x.csv'\?"),
    ("x.cvs", r"Did you mean '/data/x.csv'\?"),
    ("trian/1", r"no data item, file or task 'trian/1'. Did you mean 'train/1'"),
    (("r", "train", "7"), r"task 'r/train/7'. Did you mean 'r/train/1'"),
    ("'; DROP TABLE prov.task; --%", "no data item, file or task"),
    ("\ud800", "a character that UTF-8 lacks"),
    ("?", r"It has files such as /data/x.csv; data items such as model, v1; tasks such as q/train/1"),
    (Data("d", "f", [], {}, id="other-item"), r"no data item, file or task 'other-item'"),
    ({"item": 5}, "no item with the key 5"),
    ({"task": 5}, "no task with the key 5"),
    ({"task": "x"}, "is a key, a whole number, got 'x'"),
    ({"n": 5}, "a row with values of n names no task or data item: it needs item, task"),
    (5, "no lineage begins at 5. Give the id of a data item"),
]


def test_start_that_is_not_clear_is_an_error_with_candidates(store):
    """Unknown, or several of the name: never an empty answer."""
    store.commit(
        *task("1", [], [item(item_id="model"), file("/data/x.csv", "v1")]),
        *task("1", transformation="other"),
        *task("1", run_id="q"),
    )
    for start, message in UNCLEAR:
        with pytest.raises(QueryError, match=message):
            store.ask.lineage(start)


def test_several_tasks_of_a_name_are_told_with_their_trials(store):
    """A study has a run of each name in every trial: which one is meant, the trial says."""
    for number in (1, 2):
        store.commit(
            run(f"r{number}"), *task("1", run_id=f"r{number}"), client=str(number), trial=f"s-{number}"
        )
    store.commit(run("r3"), *task("1", run_id="r3"), client="3")
    several = r"tasks: r1/train/1 \(trial s-1\), r2/train/1 \(trial s-2\), r3/train/1\. Say which one"
    with pytest.raises(QueryError, match=several):
        store.ask.lineage("train/1")


WRONG = [
    ({"direction": "left"}, "a direction is up or down, got 'left'"),
    ({"depth": -1}, "a depth is a whole number of tasks from 0 on, got -1"),
    ({"depth": True}, "got True"),
    ({"stop_at": "secnd"}, "no transformation 'secnd' to stop at; it has first, second, third"),
]


def test_wrong_option_says_what_there_is(chain):
    """Before anything is looked for."""
    for options, message in WRONG:
        with pytest.raises(QueryError, match=message):
            chain.lineage("c", **options)


@on_duckdb
def test_file_is_free_after_a_lineage(store, tmp_path):
    """It is opened once for all that is asked, and closed: also when the start is unknown."""
    store.commit(*task("1", [], [item(item_id="a")]))
    store.backend.close()
    provenance = connect(tmp_path / "p.duckdb")
    assert tasks_of(provenance.lineage("a")) == {"1": 1}
    DuckDBBackend(tmp_path / "p.duckdb").close()
    with pytest.raises(QueryError, match="Did you mean"):
        provenance.lineage("aa")
    DuckDBBackend(tmp_path / "p.duckdb").close()
    assert len(provenance.tasks("r")) == 1


# Against a search that is as plain as can be.

ITEMS = range(8)
some_items = st.lists(st.sampled_from(ITEMS), max_size=3)
described_tasks = st.tuples(
    st.sampled_from("abc"), some_items, some_items, st.lists(st.integers(0, 6), max_size=2)
)
graphs = st.tuples(
    st.lists(described_tasks, min_size=1, max_size=7),
    st.dictionaries(st.sampled_from(ITEMS), st.lists(st.sampled_from(ITEMS), min_size=1, max_size=2)),
    st.booleans(),
)


def acyclic(described, derivations):
    """Return a graph with those edges only that lead from what is numbered lower to what is higher."""
    tasks = []
    for number, (name, used, generated, depends_on) in enumerate(described):
        before, after = [i for i in used if i <= number], [i for i in generated if i > number]
        tasks.append((name, before, after, [other for other in depends_on if other < number]))
    return tasks, {i: [source for source in sources if source < i] for i, sources in derivations.items()}


def write(store, prefix, described, derivations):
    """Commit a graph; return its edges as (what was first, what came of it, kind), and its tasks' names."""
    known, edges, records = set(), set(), []
    names = [(f"{prefix}r{n % 2}", name, f"{prefix}{n}") for n, (name, *_) in enumerate(described)]

    def mention(number):
        one = Item(f"{prefix}:{number}", "d", "f", [], None, None)
        if number in known:
            return one
        known.add(number)
        sources = [f"{prefix}:{source}" for source in derivations.get(number, ())]
        edges.update((("item", s), ("item", one.item_id), "derivation") for s in sources)
        return one._replace(derived_from=sources, attributes={"n": number})

    for name, (_, used, generated, depends_on) in zip(names, described, strict=True):
        run_id, transformation, task_id = name
        earlier = [names[other] for other in depends_on if other < len(names) and names[other] != name]
        waited = [qualify_dependency(other[1], other[2]) for other in earlier]
        edges |= {(("task", other), ("task", name), "dependency") for other in earlier if other[0] == run_id}
        edges |= {(("item", f"{prefix}:{i}"), ("task", name), "used") for i in used}
        edges |= {(("task", name), ("item", f"{prefix}:{i}"), "generated") for i in generated}
        where = {"run_id": run_id, "transformation": transformation}
        records.append(begin(task_id, *map(mention, used), depends_on=waited, **where))
        records.append(end(task_id, *map(mention, generated), **where))
    store.commit(*records, client=prefix)
    return edges, names


def search(edges, start, direction, depth, stops):
    """Return the depth of all that is reached: distances are lowered until none can be any more."""
    through_stop = {to for at, to, kind in edges if kind == "generated" and at[1][1] in stops}
    distances, is_settled = {start: 0}, False
    while not is_settled:
        is_settled = True
        for first, second, kind in edges:
            near, far = (second, first) if direction == "up" else (first, second)
            is_stop = near[0] == "task" and near != start and near[1][1] in stops
            if near not in distances or is_stop or (kind == "derivation" and second in through_stop):
                continue
            length = distances[near] + (0 if near[0] == "task" and far[0] == "item" else 1)
            if length < distances.get(far, length + 1):
                distances[far], is_settled = length, False
    return {node: length for node, length in distances.items() if depth is None or length <= depth}


def key_of(node):
    """Return the key of a task or an item."""
    return task_key(*node[1]) if node[0] == "task" else item_key(node[1])


def test_lineage_is_what_a_plain_search_finds(store, engine, monkeypatch):
    """In any graph, from any start; edges are looked up by keys, in small parts, or read at once."""
    monkeypatch.setattr(selection, "_PART", 2)
    prefixes = (f"g{number}" for number in itertools.count())

    @settings(max_examples=40 if engine == "duckdb" else 10)
    @given(
        graph=graphs,
        number=st.integers(0, 99),
        direction=st.sampled_from(["up", "down"]),
        depth=st.none() | st.integers(0, 4),
        stops=st.sets(st.sampled_from("abc"), max_size=1),
        is_by_keys=st.booleans(),
    )
    def agrees(graph, number, direction, depth, stops, is_by_keys):
        monkeypatch.setattr(selection, "_ROWS_PER_KEY", 0 if is_by_keys else 10_000)
        described, derivations, may_have_cycles = graph
        if not may_have_cycles:
            described, derivations = acyclic(described, derivations)
        edges, names = write(store, next(prefixes), described, derivations)
        nodes = sorted({node for edge in edges for node in edge[:2]} | {("task", name) for name in names})
        start = nodes[number % len(nodes)]
        stops &= {name for _, name, _ in names}
        expected = search(edges, start, direction, depth, stops)
        found = store.ask.lineage(start[1], direction, depth, sorted(stops))
        for kind, frame in (("task", found.tasks), ("item", found.items)):
            assert dict(zip(frame[kind], frame["depth"], strict=True)) == {
                key_of(node): length for node, length in expected.items() if node[0] == kind
            }
            assert frame["depth"].is_monotonic_increasing
        assert sorted(found.edges.itertuples(index=False, name=None)) == sorted(
            (key_of(first), key_of(second), kind)
            for first, second, kind in edges
            if first in expected and second in expected
        )

    agrees()
