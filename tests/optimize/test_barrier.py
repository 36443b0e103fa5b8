"""The barrier beside an application that lives on: it lets through all that was emitted so far."""

import pytest

from optiprov import connect
from optiprov.optimize.readback import ReadBack
from optiprov.optimize.trial import Trial, TrialPlace
from optiprov.wire import BrokerAddress
from tests.waiting import wait_until

TRIAL = "a-study-001"
SERVER = """
import itertools, sys, threading, time
from optiprov import Data, Task, Workflow
workflow = Workflow("serving")
workflow.begin()

def serve(number):
    task = Task(number, workflow, "serve")
    task.begin([Data("serve_input", "serving", [], {"size": number})])
    task.end([Data("serve_output", "serving", [], {"score": number / 2})])  # packed rows, both
    if number % 10 == 0:  # JSON, since of a text
        line = Data("log_output", "serving", [], {"text": "caf\\u00e9", "line": number})
        Task(number, workflow, "log").end([line])

def serve_on():
    for number in itertools.count(200):
        serve(number)
        time.sleep(0.01)

for part in (range(100), range(100, 200)):
    for number in part:
        serve(number)
    print(part.stop, flush=True)
    sys.stdin.readline()
threading.Thread(target=serve_on, daemon=True).start()
print("serving", flush=True)
sys.stdin.readline()
"""
"""Serves a hundred requests, a hundred more when told, and then one after the other."""


@pytest.fixture
def read_back(shared_service):
    """Reads a trial's values back from the service."""
    one = ReadBack(TRIAL, connect(shared_service.http), BrokerAddress.parse(shared_service.mqtt))
    yield one
    one.close()


def test_barrier_beside_a_server_lets_through_what_was_emitted_so_far(
    shared_service, start_python, tmp_path, read_back
):
    """Each time all of it, in order, of rows packed and not; also while it goes on without an end."""
    server = start_python(SERVER, OPTIPROV_BROKER=shared_service.mqtt, OPTIPROV_TRIAL_ID=TRIAL)
    spool = tmp_path / "spool"

    def scores():
        return [one.value for one in read_back.values("serve_output.score")]

    for emitted in (100, 200):
        assert server.stdout.readline() == f"{emitted}\n"
        read_back.settle([spool])
        assert scores() == [number / 2 for number in range(emitted)]
        lines = [one.value for one in read_back.values("log_output.line")]
        assert lines == list(range(0, emitted, 10))
        server.stdin.write("go on\n")
        server.stdin.flush()
    assert server.stdout.readline() == "serving\n"
    wait_until(lambda: len(scores()) > 200)
    before = len(scores())
    read_back.settle([spool])
    assert scores()[:before] == [number / 2 for number in range(before)]
    assert server.poll() is None


def test_metric_beside_a_service_of_the_scenario_is_that_of_now(shared_service, tmp_path):
    """The launch does not wait for what has no end; the metric is there, the application still runs."""
    scenario = tmp_path / "scenario"
    artifacts = scenario / "artifacts"
    artifacts.mkdir(parents=True)
    (scenario / "layers_services.yaml").write_text(
        "environment: {job_name: barrier, local: {}}\n"
        "layers: [{name: edge, services: [{name: Server, environment: local, quantity: 1}]}]\n"
    )
    (scenario / "workflow.yaml").write_text(
        "- hosts: edge.*\n"
        "  prepare: [{copy: {src: server.py, dest: /tmp/server.py}}]\n"
        "  launch: [{shell: sleep 1000 | python3 /tmp/server.py}]\n"
    )
    (artifacts / "server.py").write_text(SERVER)
    place = TrialPlace(
        *("barrier", None, "serve_output.score", tmp_path / "study", scenario, artifacts),
        *(shared_service.http, shared_service.mqtt, None, 1, 0.0),
    )
    trial = Trial("barrier-001", "001", {}, place)
    try:
        trial.prepare()
        trial.launch({}, wait=False)
        assert 99 / 2 in (one.value for one in trial.follow("serve_output.score"))
        assert trial.metric("serve_output.score", "count") == 100
        assert trial.metric("serve_output.score", "last") == 99 / 2
        assert not trial._deployment.has_ended()
    finally:
        trial.cancel()
        trial.close()
