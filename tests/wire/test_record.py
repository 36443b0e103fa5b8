"""Records as bytes: every value goes through, nothing but WireError comes back."""

import datetime
import decimal
import json
import math
import os
from pathlib import PurePosixPath

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optiprov.errors import WireError
from optiprov.records import KINDS, Annotation, Item, Lost, Status, StudyBegin, TaskBegin, TaskEnd, TrialEnd
from optiprov.wire import decode_record, encode_record
from optiprov.wire.record import MAX_RECORD_BYTES

any_text = st.text(st.characters(exclude_categories=()))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | any_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=10,
)


def end_with(attributes):
    """Return a record with one item of these attributes."""
    item = Item("i", "out", "flow", [], attributes, None)
    return TaskEnd("r", "t", "train", "flow", 1, Status.FINISHED, [item], None)


def round_trip(value):
    """Return what becomes of a value."""
    return decode_record(encode_record(end_with({"x": value}))).generated[0].attributes["x"]


@given(json_values)
def test_value_comes_back_for_all_that_json_has(value):
    """Texts (lone surrogates too), numbers, lists and mappings come back as they were."""
    assert round_trip(value) == value


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_value_comes_back_for_infinities(value):
    """Infinities are no JSON but are carried."""
    assert round_trip(value) == value


def test_value_comes_back_for_nan():
    """NaN is no JSON but is carried."""
    assert math.isnan(round_trip(math.nan))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(0.5), 0.5),
        (np.int64(2**62), 2**62),
        (np.bool_(True), True),
        (np.arange(3), [0, 1, 2]),
        (np.array([[1.5]]), [[1.5]]),
        (np.datetime64("2024-01-02T03:04:05"), {"$": "time", "v": "2024-01-02T03:04:05"}),
        (datetime.date(2024, 1, 2), {"$": "time", "v": "2024-01-02"}),
        (b"\x00\xff", {"$": "bytes", "v": "AP8="}),
        (memoryview(b"\x00\xff"), {"$": "bytes", "v": "AP8="}),
        (decimal.Decimal("1.10"), {"$": "decimal", "v": "1.10"}),
        (PurePosixPath("/a/b"), "/a/b"),
        ({3, 1}, [1, 3]),
        ((1, 2), [1, 2]),
        ({1: "a", None: "b"}, {"1": "a", "null": "b"}),
        ({(1, 2): "a"}, {"(1, 2)": "a"}),
        (1 + 2j, "(1+2j)"),
        (10**5000, {"$": "int", "v": hex(10**5000)}),
        (2**70, 2**70),
    ],
    ids=lambda value: type(value).__name__,
)
def test_value_is_carried_for_types_that_json_lacks(value, expected):
    """Each becomes what the design says; none fails."""
    assert round_trip(value) == expected


class PathOf:
    """A path whose text is not its path."""

    def __init__(self, path):
        self.path = path

    def __fspath__(self):
        if isinstance(self.path, Exception):
            raise self.path
        return self.path

    def __repr__(self):
        return "<a path>"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/a/é", "/a/é"),
        ("/a/é".encode(), "/a/é"),
        (b"/a/\xff", "/a/\udcff"),  # as Python has what is no UTF-8
        (7, "<a path>"),
        (OSError("no"), "<a path>"),
    ],
    ids=repr,
)
def test_object_with_a_path_is_carried_as_the_path(path, expected):
    """Whatever its text is; where it has no path after all, its text."""
    assert round_trip(PathOf(path)) == expected


@pytest.mark.parametrize("as_given", [os.fspath, os.fsencode], ids=["text", "bytes"])
def test_directory_entry_is_carried_as_its_path(tmp_path, as_given):
    """What os.scandir yields, of texts and of bytes."""
    (tmp_path / "größe").touch()
    with os.scandir(as_given(tmp_path)) as entries:
        assert [round_trip(entry) for entry in entries] == [str(tmp_path / "größe")]


def test_class_of_paths_is_carried_as_its_text():
    """It has the method of its objects, and no path."""
    assert round_trip(PathOf) == repr(PathOf)


class Hostile:
    """An object that fails wherever it is asked for anything."""

    def __repr__(self):
        raise RuntimeError("no")

    def __str__(self):
        raise RuntimeError("no")

    def __hash__(self):
        return 1

    def tolist(self):
        """Fail, as some objects do."""
        raise RuntimeError("no")


class TolistIsItself:
    """An object whose tolist gives no list."""

    def tolist(self):
        """Return no list."""
        return self


@pytest.mark.parametrize(
    "value", [Hostile(), [Hostile()], {Hostile(): 1}, {"a": {Hostile()}}, TolistIsItself()]
)
def test_encoding_survives_objects_that_raise(value):
    """An object whose repr or tolist raises costs its value, not the record."""
    back = decode_record(encode_record(end_with({"x": value, "y": 7})))
    assert back.generated[0].attributes["y"] == 7


def test_encoding_ends_soon_for_circular_structures():
    """A structure that holds itself several times does not explode."""
    value = []
    value += [value, {"again": value}, value]
    assert round_trip(value) == ["<circular>", {"again": "<circular>"}, "<circular>"]


def test_encoding_ends_for_deep_structures():
    """Nesting beyond the interpreter's recursion limit is cut."""
    value = []
    for _ in range(100_000):
        value = [value]
    text = json.dumps(round_trip(value))
    assert len(text) < 10_000


def test_too_large_record_becomes_a_tombstone():
    """What no broker carries is counted with the reason, instead of blocking what follows."""
    back = decode_record(encode_record(end_with({"x": "a" * MAX_RECORD_BYTES})))
    assert isinstance(back, Lost)
    assert back.record_count == 1
    assert "TaskEnd" in back.reason


RECORDS = [
    TaskBegin("r", "t", "train", "flow", 5, ["s"], [Item("i", "", "", ["j"], None, None)], "h", None),
    TaskBegin(
        "r",
        "t",
        "train",
        "f",
        5,
        [],
        [Item("i", "file", "f", [], {}, {"path": "/p", "role": None})],
        None,
        None,
    ),
    StudyBegin("s", 1, None, "acc", "max", {"x": [1]}, {}),
    TrialEnd("s", "t", 2, Status.FAILED, None, {}, "crash"),
    TrialEnd("s", "t", 2, Status.FINISHED, 0.5, {"acc": 0.5}, None),
    Annotation("run", "r", "ns", "key", {"any": [1]}, 3, None),
    Lost(3, "full"),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_record_comes_back_for_each_type(record):
    """Encoding and decoding is the identity."""
    assert decode_record(encode_record(record)) == record


@given(st.binary(max_size=200))
def test_decoding_refuses_random_bytes(payload):
    """Garbage raises WireError and nothing else."""
    with pytest.raises(WireError):
        decode_record(payload)


@settings(max_examples=300)
@given(st.sampled_from(sorted(KINDS)), st.lists(json_values, max_size=9))
def test_decoding_returns_a_sound_record_or_refuses_for_any_fields(kind, fields):
    """Whatever stands in the fields, it is a record that encodes again, or a WireError."""
    try:
        record = decode_record(json.dumps([kind, *fields]).encode())
    except WireError as error:
        assert str(error)  # noqa: PT017
    else:
        assert decode_record(encode_record(record)) == record


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"{}", "known kind"),
        (b'["xx"]', "known kind"),
        (b'["lo",1]', "Lost has 2 fields, got 1"),
        (b'["lo","many","r"]', "Lost.record_count is int, got 'many'"),
        (b'["lo",true,"r"]', "record_count is int, got True"),
        (b'["ie","s","t",1,"finished",%s,{},null]' % (b"9" * 400), "TrialEnd.value"),
        (b'["te","r","t","x","f",1,"finished",[7],null]', "a data item is a list of 6"),
        (b'["te","r","t","x","f",1,"finished",[["i","d","f",[],[],null]],null]', "attributes are a mapping"),
        (b'["te","r","t","x","f",1,"finished",[["i","d","f",[],{},[]]],null]', "file has path"),
        (b'["te","r","t","x","f",1,"finished",[[1,"d","f",[],{},null]],null]', "are text"),
        (b"[" * 100_000, "not a JSON text"),
        (b'["lo",%s,"r"]' % (b"9" * 5000), "not a JSON text"),
    ],
)
def test_decoding_says_what_is_wrong_for_wrong_shapes(payload, message):
    """The message names the type, the field and what was there."""
    with pytest.raises(WireError, match=message):
        decode_record(payload)
