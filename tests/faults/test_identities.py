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
