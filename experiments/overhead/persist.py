"""CPU time that all processes take for a task, from the application to rows that a query finds.

This process is the application. The service, its broker and its store are processes beside it, started
before. What is counted begins after a warm-up, and ends when the service has acknowledged the last record as
stored; what the service takes to stop in good order (it writes its log into the file) is told beside it.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

from experiments.overhead.cpu import report, tree_cpu_s
from experiments.overhead.inloop import capture
from experiments.overhead.scratch import scratch_directory
from experiments.overhead.service import Service, capture_through, empty_store, running_service
from experiments.overhead.workload import DATAFLOW

_WARM_UP = 1_000


def main() -> None:
    """Measure, and print microseconds of CPU a task."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--engine", choices=["duckdb", "monetdb"], default="duckdb")
    parser.add_argument("--keep", type=Path, help="the DuckDB file to make and keep, for other measurements")
    options = parser.parse_args()
    directory = scratch_directory()
    with empty_store(options.engine, directory) as (url, servers):
        store = f"duckdb://{options.keep.absolute()}" if options.keep else url
        with running_service(store) as service:
            figures = _measure(service, servers, directory, options.tasks)
            before_stop_s = tree_cpu_s(service.process.pid)
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)  # the service's, now that it has been waited for
        figures["stop_us"] = 1e6 * (ended.ru_utime + ended.ru_stime - before_stop_s) / options.tasks
    report(engine=options.engine, tasks=options.tasks, **figures)


def _measure(service: Service, servers: list[int], directory: Path, tasks: int) -> dict[str, float]:
    capture_through(service, directory / "spool")
    from optiprov import Workflow, connect

    warm = Workflow(DATAFLOW)
    warm.begin()
    capture(warm, 0, _WARM_UP)
    warm.end()
    workflow = Workflow(DATAFLOW)
    workflow.begin()
    behind = [service.process.pid, *servers]
    ours, theirs, wall = time.process_time(), sum(map(tree_cpu_s, behind)), time.perf_counter()
    capture(workflow, _WARM_UP, tasks)
    emitted_s = time.perf_counter() - wall
    workflow.end()
    wall_s = time.perf_counter() - wall
    application_s = time.process_time() - ours
    service_s = sum(map(tree_cpu_s, behind)) - theirs
    count = "SELECT count(*) AS n FROM training_input JOIN training_output USING (training_task_id, run_id)"
    stored = int(connect(service.http).sql(f"{count} WHERE run_id = ?", [workflow.run_id])["n"][0])
    if stored != tasks:
        raise RuntimeError(f"{tasks} tasks were captured, and {stored} are found in the store")
    return {
        "cpu_us": 1e6 * (application_s + service_s) / tasks,
        "application_us": 1e6 * application_s / tasks,
        "service_us": 1e6 * service_s / tasks,
        "emitted_s": emitted_s,
        "stored_s": wall_s,
    }


if __name__ == "__main__":
    main()
