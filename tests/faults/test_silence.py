"""A client that was killed says nothing: what it left open ends, of its own and of its run."""

import subprocess
import sys
import time

from optiprov import connect
from tests.waiting import wait_until

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


AHEAD = """
import sys, time
from optiprov.capture import publisher
from optiprov import Task, Workflow
from optiprov.capture.client import get_client
# What is published first never arrives, what follows it does.
publish, held = publisher.Publisher._publish, []
def publish_behind_a_gap(one, chunk):
    if chunk.first > 1:
        publish(one, chunk)
publisher.Publisher._publish = publish_behind_a_gap
publisher._MAX_BATCH_RECORDS = 10
wf = Workflow("f")
for number in range(25):
    Task(number, wf, "t").begin()
get_client().flush(0.5)
print(get_client().id, flush=True)
sys.stdin.read()
"""


def test_gap_of_a_client_that_vanished_with_its_spool_is_counted_until_it_turns_up(
    start_service, start_python, tmp_path, monkeypatch, optiprov_spool_sent
):
    """What arrived behind the gap was not stored either; once the spool is back, all of it is."""
    monkeypatch.setenv("OPTIPROV_SILENCE_S", "4")
    service = start_service()
    client = start_python(AHEAD, OPTIPROV_BROKER=service.mqtt)
    name = client.stdout.readline().strip()
    store = connect(service.http)
    wait_until(lambda: len(store.sql("SELECT * FROM prov.ingest_ahead WHERE last_sequence = 25")) == 1)
    client.kill()
    elsewhere = (tmp_path / "spool").rename(tmp_path / "elsewhere")
    lost = "SELECT client_id, first_sequence, CAST(sum(record_count) AS BIGINT) FROM prov.lost GROUP BY 1, 2"
    wait_until(lambda: len(store.sql(lost)) == 1)
    assert store.sql(lost).to_numpy().tolist() == [[name, 1, 25]]
    assert store.sql("SELECT count(*) AS n FROM prov.task")["n"].tolist() == [0]
    elsewhere.rename(tmp_path / "spool")
    optiprov_spool_sent(service)
    tasks = store.sql("SELECT task_id FROM prov.task_begin ORDER BY arrival")["task_id"]
    assert tasks.astype(int).tolist() == list(range(25))
    assert store.sql(lost).to_numpy().tolist() == [[name, 1, 0]]
