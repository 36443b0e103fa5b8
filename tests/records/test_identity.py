"""Identities: keys depend on nothing but what they name."""

from hypothesis import given
from hypothesis import strategies as st

from optiprov.records import item_key, new_id, task_key

any_text = st.text(st.characters(exclude_categories=()))


@given(any_text, any_text)
def test_task_key_fits_a_signed_64_bit_column_for_any_ids(run, task):
    """Keys are 63 bits and the same each time, lone surrogates included."""
    assert 0 <= task_key(run, task) < 2**63
    assert task_key(run, task) == task_key(run, task)


@given(any_text)
def test_item_key_fits_a_signed_64_bit_column_for_any_id(item):
    """Keys are 63 bits."""
    assert 0 <= item_key(item) < 2**63


def test_task_keys_differ_between_runs():
    """The same task id in two runs is two tasks."""
    assert task_key("a", "1") != task_key("b", "1")


def test_new_ids_differ():
    """Two ids are never the same, and fit where a client's id has to."""
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(one) == 16 and one.isalnum() for one in ids)
