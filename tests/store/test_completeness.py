"""Runs say whether the store has all that their processes emitted."""

from optiprov.records import Lost, Status, TrialClose
from tests.store.conftest import begin, end, item, run
from tests.store.test_tasks import part_end

RUNS = "SELECT run_id, is_complete, lost, rejected FROM prov.run ORDER BY run_id"


def test_run_is_complete_once_each_process_has_ended_its_part(store):
    """The ends say how many records there are; before them, nobody knows what is still to come."""
    store.commit(run(), begin("1", item(x=1)), end("1"), client="a")
    store.commit(run(), client="b")
    store.commit(part_end(), client="a")
    assert store.rows(RUNS) == [("r", False, 0, 0)]
    store.commit(part_end(), client="b")
    assert store.rows(RUNS) == [("r", True, 0, 0)]
    assert store.rows("SELECT record_count FROM prov.run") == [(2,)]
    assert store.ask.runs()["is_complete"].tolist() == [True]


def test_run_that_others_closed_is_not_complete(store):
    """Until its process ends it by itself after all."""
    store.commit(run(), client="a", trial="t")
    store.commit(TrialClose("t", 9, Status.STOPPED, "early"), client="driver")
    assert store.rows(RUNS) == [("r", False, 0, 0)]
    store.commit(part_end(), client="a", trial="t")
    assert store.rows(RUNS) == [("r", True, 0, 0)]


def test_run_whose_client_lost_records_is_not_complete(store):
    """Be it a gap or a tombstone; runs of other clients are."""
    store.commit(run("gap"), client="a")
    store.commit(part_end("gap"), client="a", first=4, oldest=4)
    store.commit(run("tombstone"), Lost(7, "full"), part_end("tombstone"), client="b")
    store.commit(run("whole"), part_end("whole"), client="c")
    assert store.rows(RUNS) == [("gap", False, 2, 0), ("tombstone", False, 7, 0), ("whole", True, 0, 0)]
    assert store.rows("SELECT status FROM prov.run_part") == [("finished",)] * 3


def test_run_is_complete_when_what_was_counted_has_come(store):
    """The count is taken back, and nothing is missing."""
    store.commit(run(), client="a")
    store.commit(part_end(), client="a", first=3)
    store.writer.count_missing(["a"], "silent")
    assert store.rows(RUNS) == [("r", False, 2, 0)]
    store.commit(begin("1"), part_end(), client="a", first=2)
    assert store.rows(RUNS) == [("r", True, 0, 0)]


def test_run_with_a_rejected_record_is_not_complete(store):
    """It is there to be read, but not in the run."""
    store.commit(run(), b"garbage", part_end())
    assert store.rows(RUNS) == [("r", False, 0, 1)]


def test_child_that_has_but_tasks_in_a_run_is_one_of_its_processes(store):
    """A forked child neither begins nor joins the run; what it lost is missing there all the same."""
    store.commit(run(), part_end(), client="parent")
    store.commit(begin("1"), Lost(3, "full"), client="child")
    assert store.rows(RUNS) == [("r", False, 3, 0)]


def test_queries_know_complete_runs(store):
    """As conditions and as columns."""
    for name in ("whole", "torn"):
        store.commit(run(name), begin("1", run_id=name), end("1", item(x=1), run_id=name), client=name)
    store.commit(part_end("whole"), client="whole")
    store.commit(part_end("torn"), client="torn", first=6, oldest=6)
    found = store.ask.query(["run.run_id", "run.lost"], {"run.is_complete": False})
    assert found.to_numpy().tolist() == [["torn", 2]]
    assert store.ask.query(["run.run_id"], {"run.is_complete": True})["run.run_id"].tolist() == ["whole"]
