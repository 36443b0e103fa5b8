"""The tests on a server that the environment names, in place of one of their own."""

import os
import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.monetdb.databases import VARIABLE, named_url, start_server
from tests.waiting import PATIENCE_S

SOME = [
    *("tests/store/test_tasks.py", "tests/store/test_monetdb.py", "-k"),
    "test_tasks and monetdb and (task or run) and not order or data_is_there_after_the_server_was_stopped",
]


@pytest.fixture
def named(tmp_path, monkeypatch):
    """A server that the environment of others names, for whom there is neither a compiler nor a wheel."""
    if named_url():
        pytest.skip(f"{VARIABLE} is set: this very run is on the server that it names")
    server = start_server(tmp_path / "named")
    empty = tmp_path / "nothing"
    empty.mkdir()
    monkeypatch.setenv(VARIABLE, server.url)
    monkeypatch.setenv("PATH", str(empty))
    yield server
    server.kill()


@pytest.mark.usefixtures("named")
def test_several_processes_of_tests_share_a_named_server(tmp_path):
    """Each test has the database to itself; one that kills its server is skipped, with the reason."""
    options = ["-n", "2", "-q", "-rs", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'inner'}"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *SOME],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    counts = re.search(r"(\d+) passed, (\d+) skipped in", done.stdout)
    assert counts, done.stdout
    assert (int(counts[1]) >= 6, int(counts[2]), done.returncode) == (True, 1, 0), done.stdout
    assert f"the test kills the server, and {VARIABLE} names one that is not ours to kill" in done.stdout
