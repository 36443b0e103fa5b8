"""What a killed service leaves in the temporary directory goes when the next one starts."""

import tempfile

import pytest

from optiprov.serve.broker import EmbeddedBroker

KILLED = """
import os, signal
from optiprov.serve.broker import EmbeddedBroker
broker = EmbeddedBroker("127.0.0.1", 0)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """A temporary directory of the test's own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_directory_of_a_killed_service_is_removed_and_that_of_a_live_one_stays(temporary, run_python):
    """Whether it lives is told by a lock, which the kernel releases."""
    live = EmbeddedBroker("127.0.0.1", 0)
    (own,) = temporary.glob("optiprov-broker-*")
    run_python(KILLED, status=-9, TMPDIR=str(temporary))
    (left,) = set(temporary.glob("optiprov-broker-*")) - {own}
    next_one = EmbeddedBroker("127.0.0.1", 0)
    assert not left.exists()
    assert (own / "broker.toml").exists()
    next_one.stop()
    live.stop()
    assert list(temporary.iterdir()) == []


def test_directory_that_is_about_to_be_locked_stays(temporary):
    """Another service has just made it: it has no lock yet."""
    (temporary / "optiprov-broker-new").mkdir()
    EmbeddedBroker("127.0.0.1", 0).stop()
    assert (temporary / "optiprov-broker-new").exists()
