"""Opening a store: what stands in the way is said in our words, with what to do."""

import json
import math
import os
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from optiprov.errors import NoStoreError, StoreError, UrlError
from optiprov.store import connect, service_file
from optiprov.store.duckdb import DuckDBBackend
from tests.store.conftest import on_duckdb
from tests.waiting import PATIENCE_S

HOLD = """
import sys, duckdb
held = duckdb.connect(sys.argv[1])
print("held", flush=True)
sys.stdin.readline()
held.close()
"""


@pytest.fixture
def held(store, start_python, tmp_path):
    """A store that another process owns."""
    store.backend.close()
    process = start_python(HOLD, tmp_path / "p.duckdb")
    assert process.stdout.readline() == "held\n"
    return process


@on_duckdb
def test_owned_by_a_service_says_its_address(held, tmp_path):
    """Its address and its process, as a service says beside the file."""
    path = tmp_path / "p.duckdb"
    service_file(path).write_text(json.dumps({"http": "http://127.0.0.1:9", "pid": held.pid}))
    with pytest.raises(
        StoreError,
        match=rf"p.duckdb: the service http://127.0.0.1:9 owns it \(pid {held.pid}\)."
        " Use --store http://127.0.0.1:9, or stop it.$",
    ):
        DuckDBBackend(path)


@on_duckdb
def test_owned_by_another_process_says_which(held, tmp_path, monkeypatch):
    """At once, without the engine's words: there is no service that might start again."""
    monkeypatch.setattr("optiprov.store.connection._RESTART_S", math.inf)
    with pytest.raises(StoreError, match=rf"another process owns the store.*{held.pid}.*stop it first.$"):
        connect(tmp_path / "p.duckdb").runs()


@on_duckdb
def test_service_that_starts_again_is_waited_for(held, tmp_path, monkeypatch):
    """Owned, with the word of a service that does not answer: asked again until it is free or answers."""
    path = tmp_path / "p.duckdb"
    service_file(path).write_text(json.dumps({"http": "http://127.0.0.1:9", "pid": 1}))
    monkeypatch.setattr("optiprov.store.connection._RESTART_S", PATIENCE_S)
    release = threading.Timer(0.7, lambda: held.communicate("\n"))
    release.start()
    assert len(connect(path).runs()) == 0
    release.join()


@on_duckdb
def test_service_that_does_not_come_back_is_given_up(held, tmp_path):
    """After some seconds; the message says who has the file."""
    service_file(tmp_path / "p.duckdb").write_text(json.dumps({"http": "http://127.0.0.1:9", "pid": 1}))
    begun = time.monotonic()
    with pytest.raises(StoreError, match=f"{held.pid}"):
        connect(tmp_path / "p.duckdb").runs()
    assert time.monotonic() - begun > 2.5


@on_duckdb
def test_directory_stands_for_the_store_in_it(store, tmp_path):
    """A study's directory; another one is refused with what was expected."""
    store.backend.close()
    with pytest.raises(
        UrlError, match=r"is a directory without a provenance.duckdb. Give the file of a store"
    ):
        connect(tmp_path)
    (tmp_path / "p.duckdb").rename(tmp_path / "provenance.duckdb")
    assert len(connect(tmp_path).runs()) == 0


def make_foreign(path: Path) -> None:
    """Somebody else's DuckDB file."""
    with duckdb.connect(path) as other:
        other.execute("CREATE TABLE t (x INTEGER)")


def make_sqlite(path: Path) -> None:
    """Another database, for which DuckDB would fetch an extension."""
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE t (x INTEGER)")


@pytest.mark.parametrize(
    ("make", "is_what"),
    [
        (lambda path: path.write_text("this is no dätabase" * 1000), "a text file"),
        (lambda path: path.write_bytes(b"\x00\xff" * 1000), "some other file"),
        (Path.touch, "an empty file"),
        (os.mkfifo, "a device or a pipe"),
        (make_sqlite, "an SQLite database"),
        (make_foreign, "a DuckDB file without provenance"),
    ],
    ids=["text", "garbage", "empty", "pipe", "sqlite", "duckdb"],
)
def test_other_files_are_said_to_be_none(tmp_path, make, is_what):
    """Without the engine's words: which file, what it is, what to give."""
    make(tmp_path / "x")
    with pytest.raises(NoStoreError, match=f"x: it is no store, but {is_what}. Give the file of a store"):
        connect(tmp_path / "x").runs()
    with pytest.raises(NoStoreError, match=is_what):
        DuckDBBackend(tmp_path / "x", read_only=True)


def test_place_that_cannot_be_written_is_said(tmp_path):
    """A directory, or one that is absent."""
    with pytest.raises(NoStoreError, match=r"it is a directory. Give a file, such as .*/provenance.duckdb"):
        DuckDBBackend(tmp_path)
    with pytest.raises(NoStoreError, match=rf"there is no directory {tmp_path}{os.sep}absent. Make it"):
        DuckDBBackend(tmp_path / "absent" / "p.duckdb")
