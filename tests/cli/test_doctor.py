"""`optiprov doctor`."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
from importlib import metadata
from pathlib import Path

import pytest

from optiprov.cli import broker_check, doctor, findings
from tests.waiting import wait_until


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


def test_doctor_tells_of_the_extra_for_testbeds(optiprov, monkeypatch, tmp_path):
    """How to get it, or which accounts are not set up here; nothing else needs it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    versions = metadata.version

    def without(name):
        if name == "enoslib":
            raise metadata.PackageNotFoundError(name)
        return versions(name)

    monkeypatch.setattr(doctor.metadata, "version", without)
    status, output, _ = optiprov("doctor")
    state, detail = state_of(output, "testbeds")
    assert (status, state) == (0, "note")
    assert detail.endswith("pip install 'optiprov[testbeds]'")
    (tmp_path / ".iotlabrc").touch()
    monkeypatch.setattr(doctor.metadata, "version", lambda name: "10.9.0" if name == "enoslib" else "1")
    assert state_of(optiprov("doctor")[1], "testbeds") == (
        *("note", "EnOSlib 10.9.0; no account of Grid'5000 (~/.python-grid5000.yaml)"),
    )


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


def test_doctor_exits_0_when_the_broker_answers(optiprov, monkeypatch, shared_service):
    """A session is opened with it, as a client does."""
    monkeypatch.setenv("PROVLIGHT_SERVER_URL", shared_service.mqtt)
    status, output, _ = optiprov("doctor", "--store", shared_service.http)
    assert status == 0
    assert state_of(output, "broker") == (
        "ok",
        f"{shared_service.mqtt} answers, and a service acknowledges",
    )
    assert state_of(output, "store") == ("ok", f"{shared_service.http}: 0 runs")


def test_doctor_exits_1_when_no_service_listens_below_the_prefix(optiprov, monkeypatch, shared_service):
    """The broker answers, and nobody would ever store what is sent: the prefix and the topic are named."""
    monkeypatch.setattr(broker_check, "_ACKNOWLEDGE_TIMEOUT_S", 0.5)
    monkeypatch.setenv("PROVLIGHT_SERVER_URL", f"{shared_service.mqtt}/site-b")
    status, output, _ = optiprov("doctor")
    assert status == 1
    state, detail = state_of(output, "broker")
    assert state == "missing"
    assert "answers, but no service acknowledges what is sent to site-b/optiprov/records/" in detail
    assert "it has the prefix 'site-b'" in detail


def test_doctor_exits_1_when_what_answers_is_no_broker(optiprov, monkeypatch):
    """Something listens and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("OPTIPROV_BROKER", f"127.0.0.1:{server.getsockname()[1]}")
        status, output, _ = optiprov("doctor")
    assert status == 1
    assert "gives no answer of an MQTT broker" in state_of(output, "broker")[1]


def test_doctor_exits_1_when_the_broker_refuses_the_user(optiprov, monkeypatch, tmp_path):
    """A mosquitto that wants a password; what it says is shown, the password is not."""
    mosquitto = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
    if mosquitto is None:
        pytest.skip("no mosquitto here: apt install mosquitto")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    (tmp_path / "mosquitto.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous false\n")
    with subprocess.Popen(
        [mosquitto, "-c", tmp_path / "mosquitto.conf"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as broker:
        wait_until_listening(port)
        monkeypatch.setenv("OPTIPROV_BROKER", f"mqtt://edge:pa55word@127.0.0.1:{port}")
        status, output, _ = optiprov("doctor")
        broker.terminate()
    assert status == 1
    assert "refuses the session: Not authorized" in state_of(output, "broker")[1]
    assert "pa55word" not in output


def wait_until_listening(port):
    """Wait until something listens on a port."""

    def listens():
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return True
        return False

    wait_until(listens)


def test_doctor_tells_what_waits_in_the_spool(optiprov, monkeypatch, run_python, start_python, tmp_path):
    """Of ended programs, since when, and how to send it; of running ones, that it is on its way."""
    monkeypatch.setenv("OPTIPROV_SPOOL", str(tmp_path / "spool"))
    status, output, _ = optiprov("doctor")
    assert (status, state_of(output, "spool")) == (
        0,
        ("ok", f"{tmp_path}/spool: 0.0 MiB on disk, nothing waits"),
    )
    running = start_python(
        "from optiprov import Workflow; Workflow('f').begin(); print(1, flush=True); input()"
    )
    running.stdout.readline()
    status, output, _ = optiprov("doctor")
    assert status == 0
    assert state_of(output, "spool")[0] == "ok"
    assert "1 record of 1 running client on their way" in state_of(output, "spool")[1]
    run_python("from optiprov import Workflow\nwith Workflow('f'): pass")
    (ended,) = [path for path in (tmp_path / "spool").iterdir() if not is_of(path, running.pid)]
    os.utime(ended / "client.json", (0, time.time() - 7300))
    status, output, _ = optiprov("doctor")
    assert status == 0
    state, detail = state_of(output, "spool")
    assert state == "note"
    assert detail.endswith("2 records of 1 ended client wait, the oldest since 2 hours")
    assert f"send them: optiprov spool send {tmp_path}/spool --broker URL" in output


def is_of(spool, pid):
    """Whether a client's spool is that of a process."""
    return json.loads((spool / "client.json").read_text())["pid"] == pid


def test_doctor_exits_1_when_the_spool_cannot_be_made(optiprov, monkeypatch, tmp_path):
    """A file is where the directory should be."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("OPTIPROV_SPOOL", str(tmp_path / "file" / "spool"))
    status, output, _ = optiprov("doctor")
    assert status == 1
    assert "cannot be written; set OPTIPROV_SPOOL" in state_of(output, "spool")[1]


def test_doctor_tells_of_mosquitto(optiprov, monkeypatch, tmp_path):
    """Its version and where it is; without one, what does instead."""
    (tmp_path / "mosquitto").write_text("#!/bin/sh\necho mosquitto version 2.9.9\n")
    (tmp_path / "mosquitto").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert state_of(optiprov("doctor")[1], "mosquitto") == ("ok", f"2.9.9 ({tmp_path}/mosquitto)")
    (tmp_path / "mosquitto").unlink()
    monkeypatch.setattr(findings, "_SYSTEM_PROGRAMS", str(tmp_path))
    assert "apt install mosquitto" in state_of(optiprov("doctor")[1], "mosquitto")[1]


def test_doctor_exits_1_when_monetdb_does_not_answer(optiprov, closed_port):
    """The server is named, its password is not."""
    url = f"monetdb://monetdb:pa55word@127.0.0.1:{closed_port}/db"
    status, output, _ = optiprov("doctor", "--store", url)
    assert status == 1
    state, detail = state_of(output, "store")
    assert state == "missing"
    assert detail.startswith(f"monetdb://***@127.0.0.1:{closed_port}/db does not answer (Connection refused)")
    assert "pa55word" not in output


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


def test_doctor_notes_why_hosts_have_no_network_of_their_own(optiprov, monkeypatch):
    """Everything else runs; the reason is what there is to do something about."""
    place = "optiprov.deploy.network.host_network.network_obstacle"
    monkeypatch.setattr(place, lambda: "ip not found")
    status, output, _ = optiprov("doctor")
    assert status == 0
    assert state_of(output, "networks of hosts") == ("note", "ip not found")
    monkeypatch.setattr(place, lambda: None)
    assert state_of(optiprov("doctor")[1], "networks of hosts")[0] == "ok"


def test_spool_that_vanishes_while_it_is_measured_counts_for_nothing(tmp_path, monkeypatch):
    """Its client has been acknowledged in the meantime; the others' count all the same."""
    for client in ("gone", "there"):
        (tmp_path / client).mkdir()
        (tmp_path / client / "segment").write_bytes(bytes(1 << 20))
    list_directory = Path.iterdir

    def remove_and_list(path):
        if path.name == "gone":
            shutil.rmtree(path)
        return list_directory(path)

    monkeypatch.setattr(Path, "iterdir", remove_and_list)
    assert findings._size(tmp_path) == "1.0 MiB"
    assert findings._size(tmp_path / "nowhere") == "0.0 MiB"
