"""Values and names from `Data` through the wire into the store, and back by `sql` and by `query`."""

import base64
import datetime
import decimal
import json
import math
import os
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optiprov.capture import Data, Task, Workflow, get_client
from optiprov.capture import client as client_module
from optiprov.capture.spool_reader import SpoolReader
from optiprov.records import Item, TaskBegin
from optiprov.store.backend import quote_name
from optiprov.store.duckdb import DuckDBBackend
from optiprov.wire import Header, decode_batch, decode_record, encode_batch, encode_record
from tests.store.conftest import on_duckdb

UTC = datetime.timezone.utc
NOON = datetime.datetime(2024, 1, 2, 12, tzinfo=UTC)
PLUS_TWO = datetime.timezone(datetime.timedelta(hours=2))


class Odd:
    """An object that no rule covers."""

    def __repr__(self):
        """Return what is stored of it."""
        return "<odd>"


class Hostile:
    """An object whose repr raises."""

    def __repr__(self):
        """Raise."""
        raise RuntimeError("no")


class Application:
    """An application in this process, whose records go from its spool into a store."""

    def __init__(self):
        self._client = get_client()
        self._reader = SpoolReader(self._client.spool_directory)
        self._workflow = Workflow("f", run_id="r")

    def task(self, store, *data, task_id="1"):
        """Run a task that uses these `Data`; return what committing its records has done."""
        task = Task(task_id, self._workflow, "t")
        task.begin(list(data))
        task.end()
        return self.send(store)

    def send(self, store):
        """Commit what is in the spool, as the messages that the service gets."""
        outcomes = []
        while True:
            chunk = self._reader.read(1000, 1 << 30)
            if not chunk.records:
                break
            header = Header(self._client.id, chunk.first, 1, "host", 1, "user", None, None, None)
            message = encode_batch(header, chunk.records, self._reader.shapes, chunk.slots)
            outcomes.append(store.writer.commit([decode_batch(message)]))
        return sum(one.records for one in outcomes), sum(one.rejected for one in outcomes)


@pytest.fixture
def application(monkeypatch, tmp_path):
    """An application without a broker, whose client spools into a directory of its own."""
    for name in list(os.environ):
        if name.startswith(("OPTIPROV_", "PROVLIGHT_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("OPTIPROV_SPOOL", str(tmp_path / "spool"))
    monkeypatch.setattr(client_module, "_client", None)
    yield Application()
    client_module._close_at_exit()


def back(store, name="x", dataset="d"):
    """Return a value by SQL and by the query interface, which must agree."""
    frame = store.ask.sql(f"SELECT {quote_name(name)} FROM f.{quote_name(dataset)}")
    queried = store.ask.query([f"used.{name}"], {"task.transformation": "t"})
    by_sql, by_query = frame.iloc[0, 0], queried.iloc[0, 0]
    assert repr(by_sql) == repr(by_query)
    return by_sql


def kept(store, value):
    """Return a value as an engine keeps it: MonetDB has no NUL."""
    has_nul = isinstance(store.backend, DuckDBBackend) or not isinstance(value, str)
    return value if has_nul else value.replace("\x00", "\ufffd")


THROUGH = [
    (True, True),
    (0, 0),
    (-(2**63), str(-(2**63))),  # which MonetDB has for NULL
    (-(2**63) + 1, -(2**63) + 1),
    (2**53 + 1, 2**53 + 1),
    (2**63 - 1, 2**63 - 1),
    (2**63, str(2**63)),
    (-(10**40), str(-(10**40))),
    (0.1, 0.1),
    (1e308, 1e308),
    (5e-324, 5e-324),
    (math.inf, math.inf),
    (-math.inf, -math.inf),
    ("", ""),
    ("größe 学习率 🙂", "größe 学习率 🙂"),
    ('it\'s "quoted" `so` \\n', 'it\'s "quoted" `so` \\n'),
    ("'; DROP TABLE prov.run_begin; --", "'; DROP TABLE prov.run_begin; --"),
    ("../../etc/passwd\x00", "../../etc/passwd\x00"),
    ("\x01\x1b[31m\r\n\t\x7f", "\x01\x1b[31m\r\n\t\x7f"),
    ("\ud800", "\\ud800"),
    (np.int64(7), 7),
    (np.float32(0.5), 0.5),
    (np.float64("inf"), math.inf),
    (np.bool_(False), False),
    (np.str_("text"), "text"),
    (np.datetime64("2024-01-02T12:00:00", "us"), NOON.replace(tzinfo=None)),
    (np.array([[1, 2], [3, 4]]), "[[1, 2], [3, 4]]"),
    (np.array(5), 5),
    (NOON, NOON.replace(tzinfo=None)),
    (NOON.astimezone(PLUS_TWO), NOON.replace(tzinfo=None)),
    (NOON.date(), datetime.datetime(2024, 1, 2)),  # noqa: DTZ001 - the store's timestamps have no zone
    (Path("/data/größe.csv"), "/data/größe.csv"),
    (PurePosixPath("../x"), "../x"),
    (decimal.Decimal("0.93"), 0.93),
    (decimal.Decimal("1E+5"), 100000.0),
    (decimal.Decimal("0.1234567890123456789"), "0.1234567890123456789"),
    (b"\x00\xff", base64.b64encode(b"\x00\xff").decode()),
    (bytearray(b"ab"), "YWI="),
    ({"a": {"b": [1, None, "ü"]}}, {"a": {"b": [1, None, "ü"]}}),
    ([1, [2, [3]]], [1, [2, [3]]]),
    ((1, 2), [1, 2]),
    ({3, 1, 2}, [1, 2, 3]),
    ({1: "a"}, {"1": "a"}),
    (Odd(), "<odd>"),
    (Hostile(), "<Hostile whose repr raises RuntimeError>"),
]


@pytest.mark.parametrize(("value", "expected"), THROUGH, ids=lambda value: ascii(type(value).__name__))
@pytest.mark.parametrize(
    ("is_listed", "derivations"),
    [(False, []), (True, []), (True, ["other"])],
    ids=["bare", "listed", "derived"],
)
def test_value_comes_back(store, application, value, expected, is_listed, derivations):
    """Bare and in a list with one, which ProvLight's users write; as a row of a shape and as a record."""
    data = Data("d", "f", derivations, {"x": [value] if is_listed else value})
    assert application.task(store, data) == (2, 0)
    found = back(store)
    if isinstance(expected, (dict, list)):
        found = json.loads(found)
    assert found == kept(store, expected)
    assert type(found) is type(expected) or isinstance(found, (np.generic, datetime.datetime))


@on_duckdb
@pytest.mark.parametrize("value", [math.nan, np.float64("nan"), np.float32("nan")])
def test_nan_is_a_double_and_not_null(store, application, value):
    """It is told from no value, and other rows stay numbers."""
    application.task(store, Data("d", "f", [], {"x": [value]}))
    assert math.isnan(back(store))
    assert store.rows("SELECT count(*) FROM d WHERE x IS NOT NULL AND isnan(x)") == [(1,)]


def test_none_is_no_value_of_any_type(store, application):
    """Alone it makes no column; beside values it is NULL."""
    application.task(store, Data("d", "f", [], {"x": None, "y": 1}), Data("d", "f", [], {"x": 2, "y": None}))
    assert sorted(store.rows("SELECT x, y FROM d"), key=repr) == [(2, None), (None, 1)]


@pytest.mark.parametrize("size", [10_000_000])
def test_text_of_ten_megabytes_comes_back(store, application, size):
    """Whole, beside a short one."""
    text = "é" * (size // 2)
    application.task(store, Data("d", "f", [], {"x": text, "y": 1}))
    assert store.rows("SELECT x, y FROM d") == [(text, 1)]
    assert len(back(store)) == size // 2


def test_list_of_a_hundred_thousand_elements_comes_back(store, application):
    """As JSON, in order; an array of numpy alike."""
    long = list(range(100_000))
    application.task(store, Data("d", "f", [], {"x": long, "y": np.arange(100_000)}))
    assert json.loads(back(store)) == long
    assert json.loads(back(store, "y")) == long


def test_several_items_of_one_dataset_in_a_task_are_rows_of_their_own(store, application):
    """Each with its attributes, also where these differ."""
    data = [Data("d", "f", [], {"x": [n]} if n % 2 else {"x": [n], "y": ["even"]}) for n in range(4)]
    application.task(store, *data)
    assert store.rows("SELECT x, y FROM d ORDER BY x") == [(0, "even"), (1, None), (2, "even"), (3, None)]
    assert store.ask.query(["used.x"], {"used.y": "even"}, sort=[("used.x", "ascending")])[
        "used.x"
    ].tolist() == [0, 2]


NAMES = [
    "x'; DROP TABLE prov.run_begin; --",
    'x"; DROP SCHEMA prov CASCADE; --',
    "../../../etc/passwd",
    "..\\..\\windows",
    "a/b",
    "\x1b[2J\x07",
    "a\nb\tc",
    "\x00",
    "\x1f\x1f",
    "größe 学习率",
    "n" * 65_536,
    "prov",
    "$x",
    "?",
    "{{ x }}",
]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name[:20]))
def test_hostile_name_is_a_name(store, name):
    """Of dataset, dataflow, attribute, transformation, task and run: kept as it is, and that is all."""
    items = [Item("i", name, name, [], {name: ["value"], "other": 1}, None)]
    began = TaskBegin(name, name, name, name, 1, [name], items, name, name)
    outcome = store.commit(encode_record(began))
    assert (outcome.records, outcome.rejected) == (1, 0)
    names = "SELECT task_id, run_id, dataflow, transformation, host, agent FROM prov.task"
    assert store.rows(names) == [(kept(store, name),) * 6]
    assert store.rows("SELECT dataset, dataflow FROM prov.dataset") == [(kept(store, name),) * 2]
    assert ("other",) in store.rows("SELECT attribute FROM prov.attribute")
    queried = store.ask.query([f"used.{kept(store, name)}", "used.other"], {"task.transformation": name})
    assert queried.iloc[0].tolist() == ["value", 1]
    assert store.rows("SELECT count(*) FROM prov.run_begin") == [(0,)]


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40)
@given(value=_JSON)
def test_any_json_value_comes_back_by_sql(store, application, value):
    """The first value of an attribute decides its type, so each has an attribute of its own."""
    tried = store.__dict__.setdefault("tried", [])
    name = f"x{len(tried)}"
    tried.append(value)
    data = Data("any", "f", [], {"number": len(tried), name: {"in": value}})
    assert application.task(store, data, task_id=name) == (2, 0)
    ((found,),) = store.rows(f'SELECT {name} FROM f."any" WHERE number = {len(tried)}')
    assert json.loads(found) == {"in": value}


_OBJECTS = st.recursive(
    st.decimals()
    | st.fractions()
    | st.complex_numbers()
    | st.datetimes(timezones=st.none() | st.just(UTC))
    | st.times()
    | st.timedeltas()
    | st.uuids()
    | st.binary(max_size=20)
    | st.builds(Hostile)
    | st.integers(0, 20_000).map(lambda bits: 1 << bits)
    | st.text(st.characters(exclude_categories=()), max_size=10)
    | st.sampled_from([int, Odd(), print, ..., np.void(b"x"), np.complex128(1j), np.array([None])]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.uuids() | st.dates() | st.none(), inner, max_size=2)
        | st.builds(lambda one: np.array([one], dtype=object), inner)
    ),
    max_leaves=5,
)


@settings(max_examples=60)
@given(value=_OBJECTS)
def test_any_object_is_encoded_and_decoded(value):
    """Whatever Python has: encoding does not raise, and what comes of it is a record."""
    item = Item("i", "d", "f", [], {"x": value}, None)
    record = decode_record(encode_record(TaskBegin("r", "1", "t", "f", 1, [], [item], None, None)))
    assert list(record.used[0].attributes) == ["x"]
