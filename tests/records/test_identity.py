"""Identities: keys depend on nothing but what they name."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from optiprov.records import base_key, item_key, new_id, number_of, numbered_key, task_key
from optiprov.store.columns import number_keys

any_text = st.text(st.characters(exclude_categories=()))


@given(any_text, any_text, any_text)
def test_task_key_fits_a_signed_64_bit_column_for_any_ids(run, transformation, task):
    """Keys are 63 bits and the same each time, lone surrogates included."""
    assert 0 <= task_key(run, transformation, task) < 2**63
    assert task_key(run, transformation, task) == task_key(run, transformation, task)


@given(st.lists(st.integers(0, 10**18 - 1), min_size=1), any_text)
def test_keys_of_many_numbers_are_those_of_each(numbers, name):
    """What is computed for a column is what is computed for one id."""
    keys = number_keys(base_key(name), np.array(numbers, np.int64)).tolist()
    assert keys == [numbered_key(base_key(name), number) for number in numbers]
    assert [task_key("r", name, str(number)) for number in numbers] == number_keys(
        base_key("r", name), np.array(numbers, np.int64)
    ).tolist()
    assert len(set(keys)) == len(set(numbers))


def test_number_is_an_id_as_str_writes_it():
    """Other texts of the same number are other ids."""
    texts = ("0", "7", "999999999999999999", "07", "-1", "+1", "1.0", "", " 1", "\u0661", "1" * 19)
    assert [number_of(text) for text in texts] == [0, 7, 10**18 - 1] + [None] * 8


@given(any_text)
def test_item_key_fits_a_signed_64_bit_column_for_any_id(item):
    """Keys are 63 bits."""
    assert 0 <= item_key(item) < 2**63


def test_task_keys_differ_between_runs():
    """The same task id in two runs, or two transformations, is two tasks."""
    assert len({task_key("a", "t", "1"), task_key("b", "t", "1"), task_key("a", "u", "1")}) == 3


def test_new_ids_differ():
    """Two ids are never the same, and fit where a client's id has to."""
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(one) == 16 and one.isalnum() for one in ids)
