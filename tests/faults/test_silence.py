"""A client that was killed says nothing: what it left open ends, of its own and of its run."""

import subprocess
import sys
import time

from optiprov import connect

OPEN = """
import sys
from optiprov import Task, Workflow
wf = Workflow("f")
wf.begin()
Task(1, wf, "t").begin()
from optiprov.capture.client import get_client
print(get_client().flush(60), flush=True)
sys.stdin.read()
"""
WAIT_S = 120


def test_open_run_of_a_killed_client_has_stopped(start_service, clean_environment, tmp_path, monkeypatch):
    """Its run and its task are running until it is killed, and stopped after the time of silence."""
    monkeypatch.setenv("OPTIPROV_SILENCE_S", "4")
    service = start_service()
    environment = {
        **clean_environment,
        "OPTIPROV_BROKER": service.mqtt,
        "OPTIPROV_SPOOL": str(tmp_path / "spool"),
    }
    with subprocess.Popen(
        [sys.executable, "-c", OPEN],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as client:
        assert client.stdout.readline() == "True\n"
        store = connect(service.http)
        assert store.sql("SELECT status FROM prov.task")["status"].tolist() == ["running"]
        client.kill()
    deadline = time.monotonic() + WAIT_S
    while store.runs()["status"].tolist() != ["stopped"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert store.sql("SELECT status FROM prov.task")["status"].tolist() == ["stopped"]
    reason = store.runs()["reason"].tolist()
    assert reason == ["nothing was heard of its process for 4 s"]
