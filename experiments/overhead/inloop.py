"""CPU time that the capture of one task takes in the application's loop, offline: only the spool is there.

The whole process is counted, not the calling thread alone, so that nothing hides in a thread beside it.
A warm-up comes before, which makes the client and its spool.
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from typing import TYPE_CHECKING

from experiments.overhead.cpu import report
from experiments.overhead.scratch import scratch_directory
from experiments.overhead.workload import DATAFLOW, TRANSFORMATION, parameters, results

if TYPE_CHECKING:
    from optiprov import Workflow

_WARM_UP = 1_000


def capture(workflow: Workflow, first: int, count: int) -> None:
    """Capture tasks the way an application does."""
    from optiprov import Data, Task

    for number in range(first, first + count):
        task = Task(number, workflow, TRANSFORMATION, [])
        task.begin([Data("training_input", DATAFLOW, [], parameters(number))])
        task.end([Data("training_output", DATAFLOW, [], results(number))])


def values(first: int, count: int) -> None:
    """Make the values and capture nothing: what the loop costs without provenance."""
    for number in range(first, first + count):
        parameters(number)
        results(number)


def main() -> None:
    """Measure, and print microseconds of CPU a task."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=100_000, help="how many tasks, of all threads together")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    for name in ("OPTIPROV_BROKER", "PROVLIGHT_SERVER_URL"):
        os.environ.pop(name, None)
    os.environ["OPTIPROV_SPOOL"] = str(scratch_directory())
    report(threads=options.threads, tasks=options.tasks, **_measure(options.tasks, options.threads))


def _measure(tasks: int, threads: int) -> dict[str, float]:
    from optiprov import Workflow

    workflow = Workflow(DATAFLOW)
    workflow.begin()
    capture(workflow, 0, _WARM_UP)
    share = tasks // threads
    began = time.process_time()
    values(_WARM_UP, tasks)
    loop_s = time.process_time() - began
    began, wall = time.process_time(), time.perf_counter()
    if threads == 1:
        capture(workflow, _WARM_UP, share)
    else:
        started = [
            threading.Thread(target=capture, args=(workflow, _WARM_UP + n * share, share))
            for n in range(threads)
        ]
        for one in started:
            one.start()
        for one in started:
            one.join()
    cpu_s, wall_s = time.process_time() - began, time.perf_counter() - wall
    return {
        "cpu_us": 1e6 * (cpu_s - loop_s) / (share * threads),
        "wall_us": 1e6 * wall_s / (share * threads),
        "values_us": 1e6 * loop_s / tasks,
    }


if __name__ == "__main__":
    main()
