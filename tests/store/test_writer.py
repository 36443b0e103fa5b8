"""The writer: exactly once, in order, whatever arrives and however often."""

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optiprov.errors import QueryError, StoreError
from optiprov.records import Annotation, Lost, RunEnd, Status, TrialClose
from optiprov.store.writer import Ack
from optiprov.wire import encode_record
from tests.store.conftest import Store, begin, end, item, run


def note(number):
    """Return a record that is told from others by its key."""
    return Annotation("run", "r", "", str(number), number, 1, None)


def notes(first, last):
    """Return the records of these numbers."""
    return [note(number) for number in range(first, last + 1)]


def stored(store):
    """Return the numbers that are stored, in the order they were."""
    return [int(key) for (key,) in store.rows("SELECT key FROM prov.annotation")]


def test_duplicates_and_overlaps_are_dropped(store):
    """Whatever part of a batch is stored already is not stored again."""
    for first, last in ((1, 5), (1, 5), (3, 8), (2, 4), (8, 9)):
        outcome = store.commit(*notes(first, last), first=first)
        assert not outcome.acks["c"].resend
    assert stored(store) == list(range(1, 10))
    assert outcome.acks["c"] == Ack(9, resend=False)


def test_gap_waits_and_asks_again(store):
    """Nothing behind a gap is stored; the acknowledgement asks for what is missing."""
    assert store.commit(*notes(4, 6), first=4).acks["c"] == Ack(0, resend=True)
    assert stored(store) == []
    assert store.commit(*notes(1, 6), first=1).acks["c"] == Ack(6, resend=False)
    assert stored(store) == [1, 2, 3, 4, 5, 6]


def test_gap_that_is_filled_in_the_same_commit_still_asks_for_what_came_before_it(store):
    """7-9 came before 1-6 and were dropped: without asking, the client would not send them again."""
    batches = [store.batch(notes(7, 9), first=7), store.batch(notes(1, 6), first=1)]
    assert store.writer.commit(batches).acks["c"] == Ack(6, resend=True)


def test_what_the_spool_no_longer_has_is_counted_as_lost(store):
    """The client's oldest record is behind the gap: a row says how many will never arrive."""
    outcome = store.commit(*notes(4, 6), first=4, oldest=4)
    assert outcome.acks["c"] == Ack(6, resend=False)
    assert (outcome.lost, stored(store)) == (3, [4, 5, 6])
    assert store.rows("SELECT client_id, first_sequence, record_count FROM prov.lost") == [("c", 1, 3)]


def test_tombstone_is_counted(store):
    """A Lost record of the client becomes a row."""
    assert store.commit(Lost(7, "full")).lost == 7


def test_clients_have_marks_of_their_own(store):
    """Two clients in one commit, and again after a restart of the writer."""
    store.writer.commit([store.batch(notes(1, 2), "a"), store.batch(notes(3, 5), "b")])
    again = Store(store.backend)
    assert again.writer.marks == {"a": 2, "b": 3}
    assert again.writer.commit_id == store.writer.commit_id
    assert again.commit(*notes(1, 2), client="a", first=1).records == 0


def test_each_record_is_stored_once_for_any_order_of_batches(new_store, examples):
    """Random cuts, repetitions and reorderings of one client's stream, then a resend of all."""
    spans = st.tuples(st.integers(1, 20), st.integers(0, 8))

    @examples(15)
    @given(st.lists(spans, max_size=8))
    def check(drawn):
        store = new_store()
        for first, more in drawn:
            store.commit(*notes(first, first + more), first=first)
        mark = store.writer.marks.get("c", 0)
        assert stored(store) == list(range(1, mark + 1))
        store.commit(*notes(1, 30), first=1)
        assert stored(store) == list(range(1, 31))

    check()


BAD = [
    b"garbage",
    b'["xx"]',
    b'["re","r",1,"odd status",1]',
    b'["an","run","r","","k",1,%d,null]' % (2**61),
    encode_record(Lost(2**61, "many")),
]


def test_rejected_record_among_good_ones_stops_nothing(store):
    """Each bad one is kept with its number and reason; the good ones are stored."""
    outcome = store.commit(note(1), *BAD[:4], note(6))
    assert (outcome.records, outcome.rejected, stored(store)) == (2, 4, [1, 6])
    assert outcome.acks["c"] == Ack(6, resend=False)
    rejected = store.rows("SELECT client_id, sequence, reason, payload FROM prov.rejected ORDER BY sequence")
    assert [row[:2] for row in rejected] == [("c", 2), ("c", 3), ("c", 4), ("c", 5)]
    assert "not a JSON text" in rejected[0][2]
    assert "a status at the end is one of finished, failed, stopped" in rejected[2][2]
    assert rejected[0][3] == "garbage"


def test_record_that_the_engine_refuses_is_rejected_alone(store, monkeypatch):
    """A commit that fails is taken apart down to the record that no transaction takes."""
    insert_all = store.backend.insert_all

    def refuse(tables):
        listed = list(tables)
        if any("key" in rows.column_names and "13" in rows["key"].to_pylist() for _, rows in listed):
            raise duckdb.ConversionException("not 13")
        insert_all(listed)

    monkeypatch.setattr(store.backend, "insert_all", refuse)
    batches = [store.batch(notes(1, 10)), store.batch(notes(11, 20))]
    outcome = store.writer.commit(batches)
    assert (outcome.records, outcome.rejected) == (19, 1)
    assert outcome.acks["c"] == Ack(20, resend=False)
    assert stored(store) == [number for number in range(1, 21) if number != 13]
    assert store.rows("SELECT sequence, reason FROM prov.rejected") == [(13, "not 13")]


def test_trouble_of_the_engine_stores_nothing_and_is_told(store, monkeypatch):
    """A full disk is no fault of the records: nothing is acknowledged, and later all is stored."""
    insert_all = store.backend.insert_all
    fault = store.backend.faults[0]("full")
    monkeypatch.setattr(store.backend, "insert_all", lambda *_: (_ for _ in ()).throw(fault))
    with pytest.raises(StoreError, match="full"):
        store.commit(begin("t", item(x=1)), *notes(1, 3))
    assert store.writer.marks == {}
    monkeypatch.setattr(store.backend, "insert_all", insert_all)
    outcome = store.commit(begin("t", item(x=1)), *notes(1, 3), first=1)
    assert outcome.acks["c"] == Ack(4, resend=False)
    assert store.rows("SELECT count(*) FROM dataset.d1") == [(1,)]


def test_catalog_that_cannot_be_read_after_a_rollback_rejects_nothing(store, monkeypatch):
    """The engine's trouble arrives as a refused query: the records wait, and are stored later."""
    store.commit(begin("s", item(x=1)))
    insert_all, fetch = store.backend.insert_all, store.backend.fetch
    fault = store.backend.faults[0]("full")

    def fail(*_, **__):
        raise QueryError("disk") from fault

    monkeypatch.setattr(store.backend, "insert_all", lambda *_: (_ for _ in ()).throw(fault))
    with pytest.raises(StoreError, match="full"):
        store.commit(*notes(2, 4), first=2)
    monkeypatch.setattr(store.backend, "insert_all", insert_all)
    monkeypatch.setattr(store.backend, "fetch", fail)
    with pytest.raises(StoreError, match="disk"):
        store.commit(*notes(2, 4), first=2)
    monkeypatch.setattr(store.backend, "fetch", fetch)
    assert store.commit(*notes(2, 4), first=2).acks["c"] == Ack(4, resend=False)
    assert stored(store) == [2, 3, 4]
    assert store.rows("SELECT count(*) FROM prov.rejected") == [(0,)]


def test_messages_that_are_no_batches_are_kept_with_the_reason(store):
    """They have no client; the payload's start is kept."""
    store.writer.reject_messages([(b"\xff\x00garbage", "no batch"), (b"x" * 200_000, "long")])
    rows = store.rows("SELECT client_id, reason, length(payload) FROM prov.rejected ORDER BY reason")
    assert rows == [("", "long", 65536), ("", "no batch", 12)]


def test_open_runs_of_a_trial_are_closed_with_its_status(store):
    """What has ended keeps its own end; what is open gets the trial's, as does a run of two clients."""
    store.commit(run("done"), RunEnd("done", 5, "finished", 2), run("open"), client="a", trial="t")
    store.commit(run("open"), RunEnd("open", 6, "finished", 2), client="b", trial="t")
    store.commit(run("other"), client="d", trial="u")
    status = "SELECT run_id, status FROM prov.run ORDER BY run_id"
    assert store.rows(status) == [("done", "finished"), ("open", "running"), ("other", "running")]
    store.commit(TrialClose("t", 9, Status.STOPPED, "early"), client="driver")
    assert store.rows(status) == [("done", "finished"), ("open", "stopped"), ("other", "running")]


def test_end_before_begin_and_end_without_begin_are_one_task_each(store):
    """Events come in any order and are put together by the task's key."""
    store.commit(end("a"), begin("a"), end("b", status=Status.FAILED, error="no"))
    rows = store.rows("SELECT task_id, status, error FROM prov.task ORDER BY task_id")
    assert rows == [("a", "finished", None), ("b", "failed", "no")]
