"""A store to write to and to ask, on each engine there is."""

import itertools
import shutil
from pathlib import Path

import pytest
from hypothesis import settings

from optiprov.records import Item, RunBegin, Status, TaskBegin, TaskEnd
from optiprov.store import StoreUrl
from optiprov.store.duckdb import DuckDBBackend
from optiprov.store.monetdb import MonetDBBackend
from optiprov.store.opened import OpenedProvenance
from optiprov.store.schema import migrate
from optiprov.store.writer import Writer
from optiprov.wire import Batch, Header, encode_record
from tests.monetdb.databases import empty, monetdb_server, monetdb_url

__all__ = ["monetdb_server", "monetdb_url"]


class Store:
    """An open store with its writer, and clients that number their records."""

    def __init__(self, backend):
        self.backend = backend
        self.writer = Writer(backend)
        self.ask = OpenedProvenance(backend)
        self._heads = {}

    def batch(self, records, client="c", first=None, oldest=1, trial=None):
        """Return records as a batch that follows the client's last."""
        first = first or self._heads.get(client, 0) + 1
        self._heads[client] = max(self._heads.get(client, 0), first + len(records) - 1)
        header = Header(client, first, oldest, "host", 1, "user", trial, "study" if trial else None, None)
        encoded = [one if isinstance(one, bytes) else encode_record(one) for one in records]
        return Batch(header, encoded)

    def commit(self, *records, **who):
        """Commit records as one batch."""
        return self.writer.commit([self.batch(records, **who)])

    def rows(self, sql, *parameters):
        """Return the rows of a query."""
        return self.backend.rows(sql, parameters)


@pytest.fixture(scope="session")
def empty_file(tmp_path_factory):
    """A DuckDB file of the present schema: making one takes ten times as long as copying it."""
    path = tmp_path_factory.mktemp("empty") / "p.duckdb"
    backend = DuckDBBackend(path)
    migrate(backend)
    backend.close()
    return path


@pytest.fixture(params=["duckdb", "monetdb"])
def engine(request):
    """The name of the engine under test."""
    return request.param


on_duckdb = pytest.mark.parametrize("engine", ["duckdb"], indirect=True)
"""For tests of what only a file is or does."""

ENDLESS = {
    "duckdb": "SELECT count(*) FROM range(10000000000) a, range(100) b",
    "monetdb": "SELECT count(*) FROM sys.columns a, sys.columns b, (SELECT * FROM sys.columns LIMIT 200) c"
    " WHERE a.name || b.name <> c.name",
}
"""A query that takes long, on each engine; MonetDB stops one between two of its steps only."""


@pytest.fixture
def store_url(engine, request, tmp_path, empty_file):
    """The URL of an empty store on each engine."""
    if engine == "monetdb":
        return request.getfixturevalue("monetdb_url")
    shutil.copy(empty_file, tmp_path / "p.duckdb")
    return f"duckdb://{tmp_path / 'p.duckdb'}"


@pytest.fixture
def open_backend(engine, store_url):
    """Opens a backend of each engine, again and again on the same store; closed at the end."""
    opened = []

    def start(**options):
        url = StoreUrl.parse(store_url)
        backend = (
            MonetDBBackend(url.monetdb, **options)
            if engine == "monetdb"
            else DuckDBBackend(url.path, **options)
        )
        opened.append(backend)
        return backend

    yield start
    for backend in opened:
        backend.close()


@pytest.fixture
def store(open_backend):
    """An empty store."""
    return Store(open_backend())


_ids = itertools.count()


def item(dataset="out", dataflow="f", derived_from=(), item_id=None, **attributes):
    """Return a data item with these values."""
    return Item(item_id or f"item{next(_ids)}", dataset, dataflow, list(derived_from), attributes, None)


def reference(one):
    """Return a reference to an item."""
    return Item(one.item_id, one.dataset, one.dataflow, [], None, None)


def run(run_id="r", dataflow="f"):
    """Return the begin of a run."""
    return RunBegin(run_id, dataflow, 1, None, None)


def begin(task_id, *used, run_id="r", transformation="train", depends_on=()):
    """Return the begin of a task."""
    return TaskBegin(
        run_id, task_id, transformation, "f", 1_000_000, list(depends_on), list(used), None, None
    )


def end(task_id, *generated, run_id="r", transformation="train", status=Status.FINISHED, error=None):
    """Return the end of a task."""
    return TaskEnd(run_id, task_id, transformation, "f", 3_000_000, status, list(generated), error)


@pytest.fixture
def new_store(engine, request, tmp_path, empty_file):
    """Makes an empty store time and again, for the examples of a property; each closes the one before."""
    path = tmp_path / "example.duckdb"
    made = []

    def close():
        for one in made:
            one.backend.close()
        made.clear()

    def make():
        close()
        if engine == "monetdb":
            url = request.getfixturevalue("monetdb_url")
            empty(url)
            made.append(Store(MonetDBBackend(StoreUrl.parse(url).monetdb)))
        else:
            made.append(Store(DuckDBBackend(Path(shutil.copy(empty_file, path)))))
        return made[0]

    yield make
    close()


@pytest.fixture
def examples(engine):
    """Says how many examples a property has: few on MonetDB, where making an empty store takes long."""
    return lambda count: settings(max_examples=count if engine == "duckdb" else 3)
