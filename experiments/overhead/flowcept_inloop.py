"""What FlowCept's `@flowcept_task` takes for the same task in the application's loop, offline.

Offline FlowCept keeps its messages in a list and writes them to a file when it is stopped: what a SIGKILL in
between loses is everything. The loop alone is what is compared; the writing is told beside it. This runs in
the virtual environment of the peers.
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from typing import Any

from experiments.overhead.cpu import report
from experiments.overhead.scratch import scratch_directory
from experiments.overhead.workload import parameters, results

_WARM_UP = 1_000
_generated = threading.local()


def training(kernel_size: int, num_kernels: int, length_of_strides: int, pooling_size: int) -> Any:  # noqa: ARG001
    """Return the results that the loop has set; FlowCept captures arguments and results."""
    return _generated.results


def run_tasks(task: Any, first: int, count: int) -> None:
    """Run the captured function."""
    for number in range(first, first + count):
        _generated.results = results(number)
        task(**parameters(number))


def main() -> None:
    """Measure, and print microseconds of CPU a task."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=100_000, help="how many tasks, of all threads together")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    os.chdir(scratch_directory())
    os.environ["FLOWCEPT_USE_DEFAULT"] = "true"
    report(threads=options.threads, tasks=options.tasks, **_measure(options.tasks, options.threads))


def _measure(tasks: int, threads: int) -> dict[str, float]:
    from flowcept import Flowcept, flowcept_task

    share = tasks // threads
    began = time.process_time()
    for number in range(tasks):
        parameters(number)
        results(number)
    loop_s = time.process_time() - began
    controller = Flowcept(workflow_name="bench", start_persistence=False).start()
    task = flowcept_task(training)
    run_tasks(task, 0, _WARM_UP)
    began, wall = time.process_time(), time.perf_counter()
    if threads == 1:
        run_tasks(task, _WARM_UP, share)
    else:
        started = [
            threading.Thread(target=run_tasks, args=(task, _WARM_UP + n * share, share))
            for n in range(threads)
        ]
        for one in started:
            one.start()
        for one in started:
            one.join()
    cpu_s, wall_s = time.process_time() - began, time.perf_counter() - wall
    kept = len(controller.get_buffer())
    if kept < tasks:
        raise RuntimeError(f"FlowCept has kept {kept} messages of {tasks} tasks")
    controller.stop()
    flushed_s = time.process_time() - began
    return {
        "cpu_us": 1e6 * (cpu_s - loop_s) / (share * threads),
        "wall_us": 1e6 * wall_s / (share * threads),
        "flushed_us": 1e6 * (flushed_s - loop_s) / (share * threads),
    }


if __name__ == "__main__":
    main()
