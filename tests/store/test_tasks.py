"""What a task, its run and its dependencies are, whatever of them arrives and in which order."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optiprov.records import RunEnd, Status, TrialClose, qualify_dependency
from optiprov.serve.heartbeat import Heartbeats
from optiprov.wire import BEGIN, Batch, Header, Shape
from tests.store.conftest import begin, end, item, reference, run

TASKS = "SELECT task_id, status, error FROM prov.task ORDER BY task_id"
RUNS = "SELECT run_id, status, reason FROM prov.run ORDER BY run_id"
DEPENDENCIES = """SELECT a.task_id, b.task_id FROM prov.dependency d
                  JOIN prov.task a ON a.task = d.task JOIN prov.task b ON b.task = d.depends_on
                  ORDER BY 1, 2"""


def part_end(run_id="r", status=Status.FINISHED, at=9_000_000):
    """Return the end of a client's part of a run."""
    return RunEnd(run_id, at, status, 1)


@pytest.mark.parametrize(
    ("status", "expected"),
    [(Status.FINISHED, "stopped"), (Status.STOPPED, "stopped"), (Status.FAILED, "failed")],
)
def test_task_left_open_ends_with_its_clients_part_of_the_run(store, status, expected):
    """It is running until then; a task that ended keeps its own status."""
    store.commit(run(), begin("open"), begin("done"), end("done"))
    assert store.rows(TASKS) == [("done", "finished", None), ("open", "running", None)]
    store.commit(part_end(status=status))
    assert store.rows(TASKS) == [("done", "finished", None), ("open", expected, None)]
    assert store.rows("SELECT count(*) FROM prov.task WHERE ended_at IS NULL") == [(0,)]


def test_task_of_another_client_of_the_run_goes_on(store):
    """A client's part of the run says nothing about the tasks of others."""
    store.commit(run(), begin("1"), client="a")
    store.commit(run(), begin("2"), client="b")
    store.commit(part_end(), client="a")
    assert store.rows(TASKS) == [("1", "stopped", None), ("2", "running", None)]
    assert store.rows(RUNS) == [("r", "running", None)]


def test_task_left_open_of_a_closed_trial_has_its_status_and_the_reason(store):
    """The service or the driver closes it; the reason is the task's error."""
    store.commit(run(), begin("1"), client="a", trial="t")
    store.commit(TrialClose("t", 9_000_000, Status.FAILED, "killed"), client="driver")
    assert store.rows(TASKS) == [("1", "failed", "killed")]
    assert store.rows(RUNS) == [("r", "failed", "killed")]


def test_end_of_its_own_wins_over_the_services_whenever_it_comes(store):
    """Run and tasks are what the client says, not what was supposed in its absence."""
    store.commit(run(), begin("1"), begin("2"), client="a", trial="t")
    store.commit(TrialClose("t", 5_000_000, Status.STOPPED, "silent"), client="driver")
    store.commit(end("1"), part_end(), client="a", trial="t")
    assert store.rows(RUNS) == [("r", "finished", None)]
    assert store.rows(TASKS) == [("1", "finished", None), ("2", "stopped", None)]


def test_dependency_is_resolved_when_the_task_comes(store):
    """On tasks not seen yet, of another client, with an end only, and never seen."""
    store.commit(begin("c", depends_on=["a", "b", "never"]), client="x")
    assert store.rows(DEPENDENCIES) == []
    store.commit(begin("a"), end("a"), client="y")
    store.commit(end("b"), begin("a", run_id="other"), client="y")
    assert store.rows(DEPENDENCIES) == [("c", "a"), ("c", "b")]
    assert len(store.rows("SELECT * FROM prov.dependency_given")) == 3


def test_dependency_that_tells_the_transformation_is_on_that_ones_task_only(store):
    """And a task does not depend on itself."""
    store.commit(
        begin("1", transformation="left"),
        begin("2", transformation="right"),
        begin("3", depends_on=[qualify_dependency("left", "1"), qualify_dependency("left", "2"), "3"]),
    )
    assert store.rows(DEPENDENCIES) == [("3", "1")]


def test_one_id_in_two_transformations_is_two_tasks(store):
    """As ProvLight's and DfAnalyzer's users give them; a dependency by id alone is on both."""
    store.commit(begin("1", transformation="left"), begin("1", transformation="right"))
    store.commit(end("1", transformation="right", status=Status.FAILED), begin("2", depends_on=["1"]))
    by_transformation = "SELECT transformation, status FROM prov.task WHERE task_id = '1' ORDER BY 1"
    assert store.rows(by_transformation) == [("left", "running"), ("right", "failed")]
    assert store.rows(DEPENDENCIES) == [("2", "1"), ("2", "1")]


def test_what_begins_or_ends_twice_counts_once_and_is_told(store):
    """The first counts, whoever sends the others."""
    store.commit(begin("1"), end("1"), begin("1"))
    store.commit(end("1", status=Status.FAILED), client="other")
    assert store.rows(TASKS) == [("1", "finished", None)]
    reasons = store.rows("SELECT reason FROM prov.rejected ORDER BY reason")
    assert reasons == [
        ("task 1 of train in run r has begun already",),
        ("task 1 of train in run r has ended already",),
    ]


def _records():
    """Return the records of a run of two clients."""
    made = item("mid", item_id="mid", x=[1.5])
    first = [run(), begin("1", item("in", item_id="in", n=3)), end("1", made), part_end()]
    second = [run(), begin("2", reference(made), depends_on=["1"]), end("2", item("out", item_id="o", y="z"))]
    return [("a", record) for record in first] + [("b", record) for record in [*second, part_end()]]


def _found(store):
    views = {
        "task": TASKS,
        "run": RUNS,
        "dependency": DEPENDENCIES,
        "in": 'SELECT n, train_task_id FROM "in"',
        "mid": "SELECT x, train_task_id FROM mid",
        "out": "SELECT y, train_task_id FROM out",
        "used": "SELECT * FROM prov.used ORDER BY item, task",
    }
    return {name: store.rows(sql) for name, sql in views.items()}


def test_any_order_of_a_runs_records_gives_the_same_rows(new_store, examples):
    """Records of two clients in any order, committed together or one by one."""

    @examples(15)
    @given(order=st.permutations(range(8)), cuts=st.sets(st.integers(1, 7)))
    def check(order, cuts):
        found = []
        for wanted, at in ((range(8), set()), (order, cuts)):
            store = new_store()
            records = [_records()[number] for number in wanted]
            bounds = [0, *sorted(at), len(records)]
            for start, stop in itertools.pairwise(bounds):
                batches = [store.batch([record], client=client) for client, record in records[start:stop]]
                assert store.writer.commit(batches).rejected == 0
            found.append(_found(store))
        assert found[0] == found[1]
        assert [status for _, status, _ in found[1]["task"]] == ["finished", "finished"]
        assert len(found[1]["dependency"]) == 1

    check()


class Clock:
    """A clock that goes on when told."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        """Return the time."""
        return self.now


@pytest.fixture
def clock():
    """A clock that goes on when told."""
    return Clock()


def test_client_that_falls_silent_has_its_open_runs_stopped(store, clock):
    """With the reason; not that of a client that is heard, nor of one that has ended."""
    store.commit(run("r1"), begin("1", run_id="r1"), client="silent")
    store.commit(run("r2"), client="alive")
    store.commit(run("r3"), part_end("r3"), client="ended")
    heartbeats = Heartbeats(store.backend, store.writer, silence_s=60, clock=clock)
    for _ in range(3):
        clock.now += 20
        heartbeats.heard(["alive", "ended"])
        closed, _ = heartbeats.close_silent()
    assert closed == ["silent"]
    reason = "nothing was heard of its process for 60 s"
    expected = [("r1", "stopped", reason), ("r2", "running", None), ("r3", "finished", None)]
    assert store.rows(RUNS) == expected
    assert store.rows(TASKS) == [("1", "stopped", reason)]
    clock.now += 59
    heartbeats.heard(["alive"])
    assert heartbeats.close_silent().closed == []
    assert len(store.rows("SELECT * FROM prov.run_end")) == 2


def test_silent_client_that_comes_back_and_ends_properly_has_its_own_end(store, clock):
    """And what it then begins and leaves open is closed again."""
    store.commit(run("r1"), client="a")
    heartbeats = Heartbeats(store.backend, store.writer, silence_s=60, clock=clock)
    clock.now += 61
    assert heartbeats.close_silent().closed == ["a"]
    store.commit(part_end("r1"), run("r2"), client="a")
    heartbeats.heard(["a"])
    assert store.rows(RUNS) == [("r1", "finished", None), ("r2", "running", None)]
    clock.now += 61
    assert heartbeats.close_silent().closed == ["a"]
    assert [status for _, status, _ in store.rows(RUNS)] == ["finished", "stopped"]


def test_time_without_a_broker_is_no_silence_of_the_clients(store, clock):
    """After it, each has the whole time again."""
    store.commit(run("r1"), client="a")
    heartbeats = Heartbeats(store.backend, store.writer, silence_s=60, clock=clock)
    clock.now += 59
    heartbeats.forgive()
    clock.now += 59
    assert heartbeats.close_silent().closed == []
    clock.now += 10
    assert heartbeats.close_silent().closed == ["a"]


def test_clocks_of_hosts_do_not_reorder_a_run(store):
    """Two clients, one an hour behind: each task is where it happened, as a row of a shape or alone."""
    hour_us = 3_600_000_000
    store.commit(run(), client="ahead")
    for number in range(4):
        client = "ahead" if number % 2 else "behind"
        at = 2 * hour_us + number - (0 if number % 2 else hour_us)
        store.commit(begin(str(number))._replace(started_us=at), client=client)
        store.commit(end(str(number))._replace(ended_us=at), client=client)
    assert store.ask.tasks("r")["task_id"].tolist() == ["0", "1", "2", "3"]
    shape = Shape(BEGIN, "s", "f", "train", None, None, None, ())
    for number, client in enumerate(("late", "early", "late")):
        header = Header(client, number // 2 + 1, 1, "h", 1, "u", None, None, None)
        row = b"[1,%d,%d,[]]" % (9 - number, hour_us * (3 - number))
        store.writer.commit([Batch(header, [row], {1: shape})])
    assert store.ask.tasks("s")["task_id"].tolist() == ["9", "8", "7"]


def test_clocks_of_hosts_do_not_reorder_runs(store):
    """The first to arrive is the first, whatever its host's clock says; joining it later moves nothing."""
    for number, run_id in enumerate(("first", "second", "third")):
        store.commit(run(run_id)._replace(started_us=10_000_000 - number), client=f"c{number}")
    store.commit(run("first")._replace(started_us=1), run("fourth"), client="late")
    assert store.ask.runs()["run_id"].tolist() == ["first", "second", "third", "fourth"]
