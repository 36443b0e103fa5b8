"""How long `accuracy > 0.9` takes, which one task in a hundred has: in process, on a file, and over HTTP.

In process is what the service does, or a program that keeps a store open. On a file, `connect()` opens the
file for each question and closes it again.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.overhead.cpu import report
from experiments.overhead.service import running_service
from experiments.overhead.workload import BEST

if TYPE_CHECKING:
    from optiprov.store.provenance import Provenance

_WARM_UP = 3


def main() -> None:
    """Measure, and print milliseconds a query."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path, required=True, help="a DuckDB file of persist.py or memory.py")
    parser.add_argument("--times", type=int, default=30)
    options = parser.parse_args()
    report(**_measure(options.store.absolute(), options.times))


def _measure(path: Path, times: int) -> dict[str, Any]:
    from optiprov import connect
    from optiprov.store.duckdb import DuckDBBackend
    from optiprov.store.opened import OpenedProvenance

    backend = DuckDBBackend(path, read_only=True)
    try:
        opened = OpenedProvenance(backend)
        tasks = int(opened.sql("SELECT count(*) AS n FROM prov.task_end")["n"][0])
        figures: dict[str, Any] = {"tasks": tasks, **_time("open", opened, times)}
    finally:
        backend.close()
    figures |= _time("file", connect(path), times)
    with running_service(f"duckdb://{path}") as service:
        figures |= _time("http", connect(service.http), times)
    if len({figures[f"{way}_rows"] for way in ("open", "file", "http")}) != 1:
        raise RuntimeError(f"the answers differ: {figures}")
    return figures


def _time(way: str, provenance: Provenance, times: int) -> dict[str, float]:
    rows, times_ms = 0, []
    for number in range(-_WARM_UP, times):
        began, cpu = time.perf_counter(), time.process_time()
        rows = len(provenance.query(filter={"generated.accuracy": {"$gt": BEST}}))
        if number >= 0:
            times_ms.append((1e3 * (time.perf_counter() - began), 1e3 * (time.process_time() - cpu)))
    walls, cpus = zip(*times_ms, strict=True)
    return {
        f"{way}_ms": statistics.median(walls),
        f"{way}_best_ms": min(walls),
        f"{way}_cpu_ms": statistics.median(cpus),
        f"{way}_rows": rows,
    }


if __name__ == "__main__":
    main()
