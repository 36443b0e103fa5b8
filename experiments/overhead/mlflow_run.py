"""What MLflow takes for one run with the same four parameters and two metrics, in SQLite.

The database is made before. This runs in the virtual environment of the peers.
"""

from __future__ import annotations

import argparse
import os
import time

from experiments.overhead.cpu import report
from experiments.overhead.scratch import scratch_directory
from experiments.overhead.workload import parameters, results

_WARM_UP = 5


def main() -> None:
    """Measure, and print microseconds of CPU a run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    options = parser.parse_args()
    directory = scratch_directory()
    os.chdir(directory)
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{directory / 'mlflow.db'}")
    mlflow.set_experiment("bench")
    began, wall = 0.0, 0.0
    for number in range(-_WARM_UP, options.runs):
        if number == 0:
            began, wall = time.process_time(), time.perf_counter()
        with mlflow.start_run():
            mlflow.log_params(parameters(number))
            mlflow.log_metrics(results(number + _WARM_UP))
    report(
        runs=options.runs,
        cpu_us=1e6 * (time.process_time() - began) / options.runs,
        wall_us=1e6 * (time.perf_counter() - wall) / options.runs,
    )


if __name__ == "__main__":
    main()
