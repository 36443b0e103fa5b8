"""Who emits: forked, spawned and pickled clients have identities of their own, and lose nothing."""

import pytest

from optiprov.store.remote import RemoteProvenance

MODULE = """
import multiprocessing, sys
from optiprov.capture import get_client
from optiprov.records import Annotation

def emit(name):
    client = get_client()
    for number in range(200):
        client.emit(Annotation("run", name, "", client.id, number, 1, None))

def main():
    context = multiprocessing.get_context(sys.argv[1])
    emit("parent")
    children = [context.Process(target=emit, args=(f"child {number}",)) for number in range(3)]
    for child in children:
        child.start()
    emit("parent")
    for child in children:
        child.join()
        assert child.exitcode == 0
    with context.Pool(2) as pool:
        pool.map(emit, ["pool"] * 4, chunksize=1)
        pool.close()
        pool.join()
"""
"""A module, since a spawned child imports what it runs."""

RAY = """
import logging, ray
from optiprov import Task, Workflow

ray.init(num_cpus=2, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)

def emit(workflow, name):
    for number in range(50):
        with Task(f"{name} {number}", workflow, "step"):
            pass

@ray.remote
class Worker:
    def work(self, workflow, name):
        emit(workflow, name)

@ray.remote
def work(workflow, name):
    emit(workflow, name)

workflow = Workflow("flow", run_id="the run")
workflow.begin()
workers = [Worker.remote() for _ in range(2)]
ends = [worker.work.remote(workflow, f"actor {number}") for number, worker in enumerate(workers)]
ends += [work.remote(workflow, f"task {number}") for number in range(2)]
emit(workflow, "driver")
ray.get(ends)
workflow.end()
ray.shutdown()
"""


THREADED = """
import os, threading
from optiprov import Task, Workflow

workflow = Workflow("flow", run_id="the run")
workflow.begin()
going = threading.Event()

def emit(name, count):
    for number in range(count):
        with Task(f"{name} {number}", workflow, "step"):
            going.set()

threads = [threading.Thread(target=emit, args=(f"thread {number}", 400)) for number in range(3)]
for thread in threads:
    thread.start()
going.wait()
children = []
for number in range(4):
    child = os.fork()
    if child == 0:
        emit(f"child {number}", 50)
        workflow.end()
        os._exit(0)
    children.append(child)
for thread in threads:
    thread.join()
for child in children:
    assert os.waitpid(child, 0)[1] == 0
workflow.end()
"""

BEGIN = """
import pickle, sys
from optiprov import Data, Task, Workflow
workflow = Workflow("flow", run_id="the run")
workflow.begin()
task, item = Task(1, workflow, "step"), Data("step_in", "flow", [], {"x": [1]})
task.begin(item)
with open(sys.argv[1], "wb") as file:
    pickle.dump((task, item), file)
workflow.end()
"""

END = """
import pickle, sys
from optiprov import Data, Task
with open(sys.argv[1], "rb") as file:
    task, item = pickle.load(file)
task.end(Data("step_out", "flow", [item], {"y": [2]}))
with Task(2, task.workflow, "step", dependencies=[task]) as following:
    pass
task.workflow.end()
"""

HOST = """
import sys, time
shift_ns, own = int(sys.argv[1]) * 10**9, time.time_ns
time.time_ns = lambda: own() + shift_ns
from optiprov import Data, Task, Workflow
from optiprov.capture import get_client
workflow = Workflow("flow")
workflow.begin()
for line in sys.stdin:
    number = int(line)
    with Task(number, workflow, "step", dependencies=[number - 1] if number else []) as task:
        pass
    print(get_client().flush(30), flush=True)
workflow.end()
"""
"""A host whose clock is wrong by some seconds; it does a step for each line."""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_children_of_multiprocessing_flush_what_they_emit(start_service, run_python, tmp_path, method):
    """Processes and a pool: each is a client, its records are stored once and in order, no spool is left."""
    service = start_service()
    (tmp_path / "children.py").write_text(MODULE)
    run_python("import children; children.main()", method, path=[tmp_path], OPTIPROV_BROKER=service.mqtt)
    frame = RemoteProvenance(service.http).sql("SELECT * FROM prov.annotation ORDER BY rowid")
    clients = frame.groupby("target")["key"].nunique().to_dict()
    pool = clients.pop("pool")
    assert clients == {"parent": 1, "child 0": 1, "child 1": 1, "child 2": 1}
    assert 1 <= pool <= 2
    assert frame["key"].nunique() == 4 + pool
    counts = frame["target"].value_counts().to_dict()
    assert counts == {"parent": 400, "child 0": 200, "child 1": 200, "child 2": 200, "pool": 800}
    for _, rows in frame.groupby("key"):
        numbers = [int(value) for value in rows["value"]]
        assert numbers == list(range(200)) * (len(numbers) // 200)
    assert list((tmp_path / "spool").glob("*/client.json")) == []


@pytest.mark.slow
def test_ray_actors_and_tasks_join_the_run_of_the_driver(start_service, run_python, optiprov_spool_sent):
    """The workflow travels pickled; each worker process is a client of its own, and nothing is lost."""
    service = start_service()
    run_python(RAY, timeout_s=200, OPTIPROV_BROKER=service.mqtt)
    optiprov_spool_sent(service)
    provenance = RemoteProvenance(service.http)
    tasks = provenance.tasks("the run")
    names = ("driver", "actor 0", "actor 1", "task 0", "task 1")
    assert sorted(tasks["task_id"]) == sorted(f"{name} {number}" for name in names for number in range(50))
    assert set(tasks["status"]) == {"finished"}
    assert len(provenance.sql("SELECT DISTINCT client_id FROM prov.client")) >= 4


def test_children_of_a_threaded_application_are_clients_of_their_own(
    start_service, run_python, optiprov_spool_sent
):
    """Forked while three threads emit: each task of each is stored once."""
    service = start_service()
    run_python(THREADED, timeout_s=90, OPTIPROV_BROKER=service.mqtt)
    optiprov_spool_sent(service)
    provenance = RemoteProvenance(service.http)
    tasks = provenance.tasks("the run")
    expected = [f"thread {t} {number}" for t in range(3) for number in range(400)]
    expected += [f"child {c} {number}" for c in range(4) for number in range(50)]
    assert sorted(tasks["task_id"]) == sorted(expected)
    assert set(tasks["status"]) == {"finished"}
    counts = provenance.sql("SELECT record_count FROM prov.run_end ORDER BY record_count")
    assert counts["record_count"].tolist() == [101] * 4 + [2402]
    for table in ("rejected", "lost"):
        assert provenance.sql(f"SELECT * FROM prov.{table}").empty


def test_task_that_is_pickled_ends_in_another_process(start_service, run_python, tmp_path):
    """Its begin and its end come from two clients: one task, what it used and generated, its successor."""
    service = start_service()
    for program in (BEGIN, END):
        run_python(program, tmp_path / "pickled", OPTIPROV_BROKER=service.mqtt)
    provenance = RemoteProvenance(service.http)
    tasks = provenance.tasks("the run").set_index("task_id")
    assert tasks["status"].to_dict() == {"1": "finished", "2": "finished"}
    ends = provenance.sql("SELECT client_id, record_count FROM prov.run_end ORDER BY record_count")
    assert ends["record_count"].tolist() == [3, 4]
    assert ends["client_id"].nunique() == 2
    derived = provenance.sql("SELECT x, y FROM step_in JOIN step_out USING (step_task_id)")
    assert derived.to_numpy().tolist() == [[1, 2]]
    assert provenance.runs()["status"].tolist() == ["finished"]


def test_wrong_clocks_of_hosts_do_not_reorder_a_run(start_service, start_python):
    """Three hosts take turns, an hour ahead, an hour behind, and right: the steps are in their order."""
    service = start_service()
    hosts = [
        start_python(HOST, shift_s, OPTIPROV_BROKER=service.mqtt, OPTIPROV_RUN_ID="the run")
        for shift_s in (3600, -3600, 0)
    ]
    for number in range(9):
        host = hosts[number % 3]
        host.stdin.write(f"{number}\n")
        host.stdin.flush()
        assert host.stdout.readline() == "True\n"
    for host in hosts:
        _, errors = host.communicate(timeout=60)
        assert (host.returncode, errors) == (0, "")
    provenance = RemoteProvenance(service.http)
    tasks = provenance.tasks("the run")
    assert tasks["task_id"].tolist() == [str(number) for number in range(9)]
    assert (tasks["ended_at"] >= tasks["started_at"]).all()
    assert tasks["started_at"].is_monotonic_increasing is False  # the clocks were wrong indeed
    assert provenance.runs()["status"].tolist() == ["finished"]
