"""Appending rows to tables: what holds on every engine, and that DuckDB plans a statement once."""

import pyarrow as pa
import pytest

from optiprov.store import duckdb_insertions
from optiprov.store.duckdb_insertions import Insertions
from tests.store.conftest import on_duckdb

ROWS = pa.table({"a": pa.array([1, 2]), "b": pa.array(["x", None])})


def test_tables_are_appended_to_together(store):
    """Several tables, one of them twice, in the order given."""
    _make(store, "prov.one", "prov.two")
    with store.backend.transaction():
        store.backend.insert_all([("prov.one", ROWS), ("prov.two", ROWS), ("prov.one", ROWS[:1])])
    assert store.rows("SELECT a, b FROM prov.one ORDER BY a") == [(1, "x"), (1, "x"), (2, None)]
    assert store.rows("SELECT a, b FROM prov.two ORDER BY a") == [(1, "x"), (2, None)]


def test_each_time_appends_the_rows_given_then(store):
    """Nothing of the rows before comes again; none at all is fine too."""
    _make(store, "prov.one")
    for count in (2, 1, 0, 2):
        with store.backend.transaction():
            store.backend.insert("prov.one", ROWS[:count])
    assert store.rows("SELECT count(*), sum(a) FROM prov.one") == [(5, 7)]


def test_rows_of_other_types_and_columns(store):
    """A column that is absent is NULL, and whole numbers fit a column of others."""
    _make(store, "prov.one")
    with store.backend.transaction():
        store.backend.insert("prov.one", ROWS)
        store.backend.insert("prov.one", ROWS.select(["b"]))
        store.backend.insert("prov.one", pa.table({"b": ["y"], "a": pa.array([3.0])}))
    found = store.rows("SELECT a, b FROM prov.one")
    assert sorted(found, key=str) == sorted(
        [(1, "x"), (2, None), (None, "x"), (None, None), (3, "y")], key=str
    )


def test_definitions_change_between_insertions(store):
    """A column that widens, and new tables and views, do not keep rows from where they belong."""
    _make(store, "prov.one")
    with store.backend.transaction():
        store.backend.insert("prov.one", ROWS)
        store.backend.change_type("prov.one", "a", "double")
        store.backend.insert("prov.one", ROWS)
    _make(store, "prov.two")
    with store.backend.transaction():
        store.backend.insert_all([("prov.one", ROWS), ("prov.two", ROWS)])
    assert store.rows("SELECT count(*), sum(a) FROM prov.one") == [(6, 9.0)]


def test_insertions_after_a_rollback(store):
    """What a rollback takes back is appended when it comes again, on its first and on a later use."""
    _make(store, "prov.one", "prov.two")
    for number in range(2):
        with pytest.raises(KeyError):
            _insert_in_vain(store)
        _make(store, f"prov.other{number}")  # a change of definitions has statements planned again
        with store.backend.transaction():
            store.backend.insert_all([("prov.one", ROWS), ("prov.two", ROWS)])
    assert store.rows("SELECT count(*) FROM prov.one") == [(4,)]


def test_refused_insertion_leaves_others_possible(store):
    """A value that no column takes fails its transaction, and no other."""
    _make(store, "prov.one")
    with pytest.raises(Exception, match=r".+"), store.backend.transaction():
        store.backend.insert("prov.one", pa.table({"a": ["no number"]}))
    with store.backend.transaction():
        store.backend.insert("prov.one", ROWS)
    assert store.rows("SELECT count(*) FROM prov.one") == [(2,)]


@on_duckdb
def test_statement_is_planned_once(store, monkeypatch):
    """While definitions stay as they are, the rows are read once for each insertion, and by one statement."""
    _make(store, "prov.one", "prov.two")
    prepared = []
    prepare = Insertions._prepare

    def counted(self, table, source, columns):
        prepared.append(table)
        prepare(self, table, source, columns)

    monkeypatch.setattr(Insertions, "_prepare", counted)
    for _ in range(10):
        with store.backend.transaction():
            store.backend.insert_all([("prov.one", ROWS), ("prov.two", ROWS)])
    assert len(prepared) <= 4  # each once, and once more as the registration of the other changes definitions


@on_duckdb
def test_more_tables_than_are_kept_prepared(store, monkeypatch):
    """The statements that are kept are bounded, and so are those of one call."""
    monkeypatch.setattr(duckdb_insertions, "_MAX_PREPARED", 5)
    monkeypatch.setattr(duckdb_insertions, "_MAX_AT_ONCE", 3)
    tables = [f"prov.table{number}" for number in range(13)]
    _make(store, *tables)
    for _ in range(2):
        with store.backend.transaction():
            store.backend.insert_all([(table, ROWS) for table in tables])
    assert len(store.backend._insertions._prepared) == 5
    assert all(store.rows(f"SELECT count(*) FROM {table}") == [(4,)] for table in tables)


def _insert_in_vain(store):
    with store.backend.transaction():
        store.backend.insert_all([("prov.one", ROWS), ("prov.two", ROWS)])
        raise KeyError


def _make(store, *tables):
    number, text = store.backend.sql_type("integer"), store.backend.sql_type("text")
    with store.backend.transaction():
        for table in tables:
            store.backend.execute(f"CREATE TABLE {table} (a {number}, b {text})")
