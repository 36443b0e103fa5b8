"""Shapes: a row and its shape are the record, and no garbage gets through."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optiprov.errors import WireError
from optiprov.records import Item, TaskBegin, TaskEnd
from optiprov.wire import (
    BEGIN,
    END,
    Header,
    ItemShape,
    Shape,
    decode_batch,
    encode_batch,
    encode_shape,
    expand,
)
from optiprov.wire.shape import decode_shapes

HEADER = Header("c", 1, 1, "host", 1, "user", None, None, None)
USED = Shape(BEGIN, "r", "f", "train", "edge", None, None, (ItemShape("in", "f", ("a", "b")),))
MADE = Shape(
    END, "r", "f", "train", None, None, "finished", (ItemShape("x", "", ()), ItemShape("o", "f", ("c",)))
)


def test_row_of_a_begin_is_a_begin():
    """With the items it used, whose ids are the client's."""
    item = Item("c:9", "in", "f", [], {"a": [1], "b": "x"}, None)
    record = TaskBegin("r", "7", "train", "f", 5, ["6"], [item], "edge", None)
    assert expand(USED, [1, 7, 5, ["6"], 9, [1], "x"], "c") == record


def test_row_of_an_end_is_an_end():
    """Several items of one record stay apart."""
    items = [Item("c:3", "x", "", [], {}, None), Item("c:4", "o", "f", [], {"c": 0.5}, None)]
    assert expand(MADE, [2, "id", 5, 3, 4, 0.5], "c") == TaskEnd(
        "r", "id", "train", "f", 5, "finished", items, None
    )


@pytest.mark.parametrize(
    "row",
    [
        [1],
        [1, 7, 5, [], 9, 1],
        [1, 7, 5, [], 9, 1, 2, 3],
        [1, None, 5, [], 9, 1, 2],
        [1, 7, "5", [], 9, 1, 2],
        [1, 7, 2**80, [], 9, 1, 2],
        [1, 7, 5, [1], 9, 1, 2],
        [1, 7, 5, None, 9, 1, 2],
        [1, 7, 5, [], "9", 1, 2],
        [1, 7, 5, [], True, 1, 2],
    ],
)
def test_row_that_does_not_fit_its_shape_is_refused(row):
    """Too short, too long, or of other types."""
    with pytest.raises(WireError):
        expand(USED, row, "c")


def test_shapes_come_back_with_their_batch():
    """By their numbers; a plain tuple is as good."""
    payload = encode_batch(HEADER, [b"[1]"] * 50, {1: encode_shape(tuple(USED)), 30: encode_shape(MADE)})
    assert decode_batch(payload).shapes == {1: USED, 30: MADE}


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b"{",
        b'{"x":[]}',
    ],
)
def test_shapes_that_are_none_are_refused(line):
    """Whatever stands in the line of the shapes."""
    with pytest.raises(WireError, match="the batch has no shapes"):
        decode_shapes(line)


@pytest.mark.parametrize(
    "line",
    [
        b'{"1":1}',
        b'{"1":["tb","r","f","t",null,null,null]}',
        b'{"1":["xx","r","f","t",null,null,null,[]]}',
        b'{"1":["tb",7,"f","t",null,null,null,[]]}',
        b'{"1":["tb","r","f","t",{},null,null,[]]}',
        b'{"1":["te","r","f","t",null,null,"odd",[]]}',
        b'{"1":["tb","r","f","t",null,null,null,[["in","f",[1]]]]}',
        b'{"1":["tb","r","f","t",null,null,null,[["in","f",["a","a"]]]]}',
        b'{"1":["tb","r","f","t",null,null,null,[["in","f"]]]}',
    ],
)
def test_shape_that_is_none_is_left_out(line):
    """Only its own rows are refused then, not all that came with it."""
    good = json.loads(line) | {"7": list(USED)}
    assert decode_shapes(json.dumps(good).encode()) == {7: USED}


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_shapes_of_any_json_are_refused_or_read(value):
    """No JSON raises anything else."""
    assert decode_shapes(json.dumps({"1": value}).encode()) == {}
