"""How long it takes from `task.end()` until the task is visible behind the barrier, at 1,000 tasks a second.

A process captures tasks at this rate. With every tenth, it tells this process when `task.end()` has returned
and how many records there are by then; this process passes the barrier for them, in threads enough that none
waits for another, and asks for some of the tasks to see that they are there.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from experiments.overhead.cpu import report
from experiments.overhead.scratch import scratch_directory
from experiments.overhead.service import Service, duckdb_url, running_service
from experiments.overhead.workload import DATAFLOW, TRANSFORMATION, parameters, results

if TYPE_CHECKING:
    from pathlib import Path

_TOLD_EVERY = 10
_ASKED_EVERY = 50
_OBSERVERS = 8
_WARM_UP_S = 1.0
_BARRIER_TIMEOUT_S = 30.0


class Told(NamedTuple):
    """A task that has ended: when (monotonic clock), its client, and the number of its last record."""

    number: int
    ended_s: float
    client: str
    head: int


def main() -> None:
    """Measure, and print the median and the 99th percentile in milliseconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--rate", type=int, default=1_000, help="tasks a second")
    parser.add_argument("--emit", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.emit:
        _emit(options.tasks, options.rate)
        return
    directory = scratch_directory()
    with running_service(duckdb_url(directory)) as service:
        report(rate=options.rate, **_observe(service, directory, options.tasks, options.rate))


def _emit(tasks: int, rate: int) -> None:
    from optiprov import Data, Task, Workflow
    from optiprov.capture import get_client, spool_heads

    workflow = Workflow(DATAFLOW, run_id="visibility")
    workflow.begin()
    client = get_client()
    root = client.settings.spool
    began = time.monotonic()
    for number in range(tasks):
        due = began + number / rate
        while (left_s := due - time.monotonic()) > 0:
            time.sleep(left_s)
        task = Task(number, workflow, TRANSFORMATION, [])
        task.begin([Data("training_input", DATAFLOW, [], parameters(number))])
        task.end([Data("training_output", DATAFLOW, [], results(number))])
        if number % _TOLD_EVERY == 0:
            ended_s = time.monotonic()
            sys.stdout.write(f"{number} {ended_s} {client.id} {spool_heads(root)[client.id]}\n")
            sys.stdout.flush()
    workflow.end()


def _observe(service: Service, directory: Path, tasks: int, rate: int) -> dict[str, float]:
    import os

    command = [sys.executable, __file__, "--emit", "--tasks", str(tasks), "--rate", str(rate)]
    environment = {**os.environ, "OPTIPROV_BROKER": service.mqtt, "OPTIPROV_SPOOL": str(directory / "spool")}
    with (
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as application,
        ThreadPoolExecutor(_OBSERVERS) as observers,
    ):
        assert application.stdout is not None
        waits: list[Future[float]] = []
        for line in application.stdout:
            number, ended_s, client, head = line.split()
            told = Told(int(number), float(ended_s), client, int(head))
            waits.append(observers.submit(_wait, service.http, told))
    if application.returncode:
        raise RuntimeError(f"the application ended with status {application.returncode}")
    warm = int(_WARM_UP_S * rate / _TOLD_EVERY)
    behind_ms = sorted(1e3 * wait.result() for wait in waits[min(warm, len(waits) // 2) :])
    return {
        "samples": len(behind_ms),
        "median_ms": behind_ms[len(behind_ms) // 2],
        "p99_ms": behind_ms[int(len(behind_ms) * 0.99)],
        "max_ms": behind_ms[-1],
    }


_connections = threading.local()


def _wait(url: str, told: Told) -> float:
    """Pass the barrier; return how many seconds after the task's end that was."""
    from optiprov.store.remote import RemoteProvenance

    if not hasattr(_connections, "service"):
        _connections.service = RemoteProvenance(url)
    service: RemoteProvenance = _connections.service
    service.wait_stored({told.client: told.head}, timeout_s=_BARRIER_TIMEOUT_S)
    behind_s = time.monotonic() - told.ended_s
    if told.number % (_TOLD_EVERY * _ASKED_EVERY) == 0:
        query = "SELECT count(*) AS n FROM prov.task WHERE task_id = ? AND status = 'finished'"
        if int(service.sql(query, [str(told.number)])["n"][0]) != 1:
            raise RuntimeError(f"task {told.number} is not there behind the barrier")
    return behind_s


if __name__ == "__main__":
    main()
