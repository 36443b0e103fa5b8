"""`optiprov doctor`."""

import socket
from importlib import metadata

import pytest

from optiprov.cli import doctor


@pytest.fixture
def closed_port():
    """A port on which nothing listens: it is bound, so that nobody else gets it."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def state_of(output, subject):
    """The state and the detail of a finding."""
    (line,) = [line for line in output.splitlines() if line[8:].startswith(f"{subject} ")]
    return line[:8].strip(), line[8 + len(subject) :].strip()


def test_doctor_exits_0_when_nothing_is_missing(optiprov, store):
    """Versions, ports, broker, isolation, disk and the store are looked at, in columns."""
    status, output, errors = optiprov("doctor", "--store", store)
    assert (status, errors) == (0, "")
    assert state_of(output, "duckdb") == ("ok", metadata.version("duckdb"))
    assert state_of(output, "store") == ("ok", f"{store}: 1 run")
    assert state_of(output, "broker")[0] == "ok"
    for subject in ("python", "port 1883", "private /tmp and HOME", "disk, temporary"):
        assert state_of(output, subject)[0] in {"ok", "note"}
    width = len("private /tmp and HOME")
    assert {line[8 + width : 10 + width] for line in output.splitlines()} == {"  "}
    assert " " not in {line[10 + width] for line in output.splitlines()}


def test_doctor_exits_1_when_the_store_does_not_exist(optiprov, tmp_path):
    """A store that was named has to be there."""
    status, output, _ = optiprov("doctor", "--store", tmp_path / "nowhere")
    assert status == 1
    assert state_of(output, "store")[0] == "missing"


def test_doctor_exits_1_when_the_broker_does_not_answer(optiprov, monkeypatch, closed_port):
    """A broker that the environment names has to answer."""
    monkeypatch.setenv("OPTIPROV_BROKER", f"mqtt://127.0.0.1:{closed_port}")
    status, output, _ = optiprov("doctor")
    assert status == 1
    state, detail = state_of(output, "broker")
    assert state == "missing"
    assert f"mqtt://127.0.0.1:{closed_port} does not answer" in detail


def test_doctor_exits_0_when_the_broker_answers(optiprov, monkeypatch):
    """It is enough that something listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("PROVLIGHT_SERVER_URL", f"127.0.0.1:{server.getsockname()[1]}")
        status, output, _ = optiprov("doctor")
    assert status == 0
    assert state_of(output, "broker")[1].endswith("answers")


def test_doctor_tells_how_to_get_a_package_that_is_missing(optiprov, monkeypatch):
    """What an optimization needs is missing; what merely comes with it is a note."""
    monkeypatch.setattr(doctor, "_PACKAGES", ("duckdb", "no-such-package"))
    monkeypatch.setattr(doctor, "_COMES_WITH", {"no-such-part": "duckdb"})
    status, output, _ = optiprov("doctor")
    assert status == 1
    assert state_of(output, "no-such-package") == ("missing", "install it: pip install no-such-package")
    assert state_of(output, "no-such-part")[0] == "note"
    monkeypatch.setattr(doctor, "_PACKAGES", ("duckdb",))
    assert optiprov("doctor")[0] == 0


def test_doctor_notes_when_hosts_share_tmp(optiprov, monkeypatch):
    """No mount namespaces is a note: everything runs, with less isolation."""
    monkeypatch.setattr("optiprov.deploy.isolation_note", lambda: "hosts share /tmp,\nin two lines")
    status, output, _ = optiprov("doctor")
    assert status == 0
    assert state_of(output, "private /tmp and HOME") == ("note", "hosts share /tmp,")
    assert "\n" + " " * 31 + "in two lines\n" in output
