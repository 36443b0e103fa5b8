"""Known tasks: a set of ids, whatever order they come in."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from optiprov.store.known import _Ids

numbers = st.lists(st.integers(0, 40), min_size=1, max_size=15)


@given(st.lists(numbers | st.text(st.sampled_from("01x"), max_size=3), max_size=12))
def test_ids_are_a_set(steps):
    """Adding one by one or many at once gives what a set gives; a refused block changes nothing."""
    ids, reference = _Ids(), set()
    for step in steps:
        if isinstance(step, str):
            assert ids.add(step) == (step not in reference)
            reference.add(step)
            continue
        wanted = {str(number) for number in step}
        is_new = len(wanted) == len(step) and not wanted & reference
        assert ids.add_numbers(np.array(step, np.int64)) == is_new
        reference |= wanted if is_new else set()
    assert all(not ids.add(one) for one in reference)


def test_numbers_in_a_row_take_no_room():
    """A million ids are one range."""
    ids = _Ids()
    for first in range(0, 1_000_000, 1000):
        assert ids.add_numbers(np.arange(first, first + 1000))
    assert len(ids) == 1


def test_many_ranges_at_once_are_a_set_too():
    """Ids with gaps, in any order, beside those that are there."""
    ids = _Ids()
    assert ids.add_numbers(np.arange(10_000, 10_010))
    shuffled = np.random.default_rng(1).permutation(np.arange(0, 30_000, 3)[:3000])
    assert ids.add_numbers(shuffled[shuffled < 9_000])
    assert not ids.add_numbers(np.array([1, 8_997, 2]))
    assert ids.add_numbers(np.array([1, 2, 8_998]))
    assert not any(ids.add(str(number)) for number in (0, 3, 8_997, 10_009))
    assert ids.add("4")
