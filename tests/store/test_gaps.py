"""What is known to be missing of a silent client is counted, and stored where it comes after all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optiprov.errors import StoreError
from optiprov.serve.heartbeat import Heartbeats
from optiprov.store.gaps import TAKEN_BACK
from optiprov.store.writer import Ack
from tests.store.conftest import Store
from tests.store.test_writer import note, notes, stored

LOST = "SELECT first_sequence, record_count FROM prov.lost ORDER BY detected_at, record_count"
NET = "SELECT CAST(COALESCE(sum(record_count), 0) AS BIGINT) FROM prov.lost"
REASON = "records behind them had arrived, then nothing was heard of the client for 60 s"


class Silent:
    """Heartbeats of a store whose clients say nothing, by a clock that goes on with each look."""

    def __init__(self, store):
        self._now = 0.0
        self._heartbeats = Heartbeats(store.backend, store.writer, silence_s=60, clock=lambda: self._now)

    def look(self, *heard):
        """Let the time of silence pass after these were heard; return how many records are counted."""
        self._heartbeats.heard(heard)
        self._now += 61
        return self._heartbeats.close_silent().lost


def test_gap_of_a_silent_client_is_counted_once(store):
    """From behind the mark up to the last number seen, with the reason; it is known who the client was."""
    silent = Silent(store)
    store.commit(*notes(1, 2))
    store.commit(*notes(5, 6), first=5)
    store.commit(*notes(9, 10), first=9)
    assert silent.look("c") == 8
    assert silent.look("c") == 0
    assert store.rows("SELECT client_id, first_sequence, record_count, reason FROM prov.lost") == [
        ("c", 3, 8, REASON)
    ]
    assert stored(store) == [1, 2]


def test_client_of_which_nothing_is_stored_is_known_once_it_is_ahead(store):
    """Its first batch is behind a gap: the store says whose records are lost."""
    silent = Silent(store)
    store.commit(*notes(4, 6), first=4)
    assert silent.look("c") == 6
    joined = "SELECT c.host, l.record_count FROM prov.lost l JOIN prov.client c ON c.client_id = l.client_id"
    assert store.rows(joined) == [("host", 6)]


def test_batch_without_records_tells_how_far_a_client_has_come(store):
    """It says that its client lives, and by its number that there were others."""
    silent = Silent(store)
    store.commit(first=8)
    assert silent.look("c") == 7


def test_client_that_is_heard_is_waited_for(store):
    """Its gap is closed by itself, and nothing is counted."""
    silent = Silent(store)
    store.commit(*notes(4, 6), first=4)
    store.commit(*notes(1, 6), first=1)
    assert silent.look("c") == 0
    assert store.rows(LOST) == []


def test_spool_that_turns_up_is_stored_and_the_count_taken_back(store):
    """The acknowledgement says what is stored, whatever was counted; each record is there once."""
    silent = Silent(store)
    store.commit(*notes(1, 2))
    store.commit(*notes(5, 6), first=5)
    silent.look("c")
    again = store.commit(*notes(5, 6), first=5)
    assert again.acks["c"] == Ack(2, resend=True)
    outcome = store.commit(*notes(1, 6), first=1)
    assert (outcome.acks["c"], outcome.lost) == (Ack(6, resend=False), -4)
    assert stored(store) == [1, 2, 3, 4, 5, 6]
    assert store.rows(LOST) == [(3, 4), (3, -4)]
    assert store.rows("SELECT reason FROM prov.lost WHERE record_count < 0") == [(TAKEN_BACK,)]


def test_part_of_a_spool_that_turns_up_leaves_the_rest_counted(store):
    """Its oldest records are gone: these stay counted, and no others; the rest at the next silence."""
    silent = Silent(store)
    store.commit(*notes(9, 10), first=9)
    assert silent.look("c") == 10
    store.commit(*notes(4, 5), first=4, oldest=4)
    assert store.rows(NET) == [(3,)]
    assert silent.look("c") == 5
    assert store.rows(NET) == [(8,)]
    store.commit(*notes(6, 10), first=6)
    assert store.rows(NET) == [(3,)]
    assert stored(store) == list(range(4, 11))


@pytest.mark.parametrize("is_counted_before", [True, False])
def test_gap_is_known_after_the_service_starts_again(store, is_counted_before):
    """Killed before or after it was counted: it is counted once, and taken back once."""
    store.commit(*notes(5, 6), first=5)
    if is_counted_before:
        Silent(store).look("c")
    again = Store(store.backend)
    assert Silent(again).look() == (0 if is_counted_before else 6)
    assert store.rows(LOST) == [(1, 6)]
    once_more = Store(store.backend)
    once_more.commit(*notes(1, 6), first=1)
    assert store.rows(LOST) == [(1, 6), (1, -6)]
    assert Silent(Store(store.backend)).look("c") == 0


def test_engine_in_trouble_counts_nothing_and_is_asked_again(store, monkeypatch):
    """The clients stay known, and their gaps are counted once the store takes rows again."""
    silent = Silent(store)
    store.commit(*notes(2, 3), first=2)
    insert_all, fault = store.backend.insert_all, store.backend.faults[0]("full")
    monkeypatch.setattr(store.backend, "insert_all", lambda *_: (_ for _ in ()).throw(fault))
    with pytest.raises(StoreError, match="full"):
        silent.look("c")
    monkeypatch.setattr(store.backend, "insert_all", insert_all)
    assert silent.look() == 3


def test_each_record_is_stored_or_counted_for_any_order_of_batches_and_silences(new_store, examples):
    """Whatever arrives, with silences and restarts between: after a silence all that was seen is there."""
    steps = st.one_of(
        st.just("silence"), st.just("restart"), st.tuples(st.integers(1, 15), st.integers(0, 6))
    )

    @examples(25)
    @given(st.lists(steps, max_size=12))
    def check(drawn):
        store = new_store()
        silent, seen = Silent(store), 0
        for step in drawn:
            if step == "restart":
                store = Store(store.backend)
                silent = Silent(store)
            elif step == "silence":
                silent.look("c")
                ((counted,),) = store.rows(NET)
                numbers = stored(store)
                assert numbers == list(range(1, len(numbers) + 1))
                assert len(numbers) + counted == seen
            else:
                first, more = step
                seen = max(seen, first + more)
                store.commit(*[note(number) for number in range(first, first + more + 1)], first=first)
        store.commit(*notes(1, 30), first=1)
        assert stored(store) == list(range(1, 31))
        assert store.rows(NET) == [(0,)]

    check()
