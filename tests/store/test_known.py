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
