"""The command line in this process, and a small real store for it to ask."""

import os
import sys

import pytest

from optiprov.cli.main import run as run_command
from optiprov.records import RunEnd
from optiprov.store.duckdb import DuckDBBackend
from optiprov.store.schema import migrate
from tests.store.conftest import (
    Store,
    begin,
    empty_file,
    end,
    engine,
    item,
    monetdb_server,
    monetdb_url,
    open_backend,
    run,
    store_url,
)

__all__ = ["empty_file", "engine", "monetdb_server", "monetdb_url", "open_backend", "store_url"]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    """Nothing of ours in the environment."""
    for name in list(os.environ):
        if name.startswith(("OPTIPROV_", "PROVLIGHT_")):
            monkeypatch.delenv(name)


@pytest.fixture
def optiprov(monkeypatch, capsys):
    """Runs `optiprov` with arguments and returns its exit status, what it printed, and its errors."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["optiprov", *map(str, arguments)])
        status = run_command()
        output, errors = capsys.readouterr()
        return status, output, errors

    return call


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """The path of a store with one run: six tasks with x from 0 to 5, alternating opt, accuracy x / 10."""
    path = tmp_path_factory.mktemp("cli") / "p.duckdb"
    backend = DuckDBBackend(path)
    migrate(backend)
    records = [run()]
    for n in range(6):
        used = item("model_input", x=n, opt="adam" if n % 2 else "sgd")
        records += [begin(f"t{n}", used), end(f"t{n}", item("model_output", accuracy=n / 10))]
    Store(backend).commit(*records, RunEnd("r", 9_000_000, "finished", 1))
    backend.close()
    return path
