"""Memory of the application over a million tasks, while the service acknowledges.

The loop runs as fast as it can, so that what waits in the spool is as much as it will ever be. The resident
memory is read in the loop, after a tenth of the tasks and after all of them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from experiments.overhead.cpu import report, resident_bytes
from experiments.overhead.inloop import capture
from experiments.overhead.scratch import scratch_directory
from experiments.overhead.service import capture_through, duckdb_url, running_service
from experiments.overhead.workload import DATAFLOW


def main() -> None:
    """Measure, and print MiB after a tenth of the tasks and after all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=1_000_000)
    parser.add_argument("--keep", type=Path, help="the DuckDB file to make and keep, for other measurements")
    options = parser.parse_args()
    directory = scratch_directory()
    store = f"duckdb://{options.keep.absolute()}" if options.keep else duckdb_url(directory)
    with running_service(store or "") as service:
        capture_through(service, directory / "spool")
        from optiprov import Workflow

        workflow = Workflow(DATAFLOW)
        workflow.begin()
        share = options.tasks // 10
        resident = []
        for part in range(10):
            capture(workflow, part * share, share)
            resident.append(resident_bytes() / 2**20)
        workflow.end()
        report(
            tasks=options.tasks,
            tenth_mib=resident[0],
            all_mib=resident[-1],
            growth_mib=resident[-1] - resident[0],
            stored_mib=resident_bytes() / 2**20,
            course_mib=resident,
        )


if __name__ == "__main__":
    main()
