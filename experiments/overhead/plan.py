"""What is measured, how often, and what each figure is held against."""

from __future__ import annotations

from experiments.deploy_overhead import plan as deploying
from experiments.overhead.measurement import Figure, Line, Measurement

_FLOWCEPT = "FlowCept 1.0.3"
_SMALL = ("--tasks", "1000")
_KEPT = ("--tasks", "100000", "--keep", "{stores}/small.duckdb")
_KEPT_QUICK = ("--tasks", "1000", "--keep", "{stores}/small.duckdb")

MEASUREMENTS = (
    Measurement("inloop", "inloop", quick=_SMALL),
    Measurement("flowcept_inloop", "flowcept_inloop", quick=_SMALL, side="peer"),
    Measurement("inloop4", "inloop", ("--threads", "4"), ("--threads", "4", *_SMALL)),
    Measurement(
        "flowcept_inloop4", "flowcept_inloop", ("--threads", "4"), ("--threads", "4", *_SMALL), side="peer"
    ),
    Measurement("persist", "persist", quick=_SMALL, times=5),
    Measurement("flowcept", "flowcept_persist", quick=_SMALL, times=3, side="peer"),
    Measurement("mlflow", "mlflow_run", quick=("--runs", "3"), times=3, side="peer"),
    Measurement("monetdb", "persist", ("--engine", "monetdb"), ("--engine", "monetdb", *_SMALL)),
    Measurement("wire", "wire", quick=_SMALL, times=3),
    Measurement("visibility", "visibility", quick=("--tasks", "500"), times=5),
    Measurement("keep", "persist", _KEPT, _KEPT_QUICK, times=1),
    Measurement(
        "memory",
        "memory",
        ("--keep", "{stores}/large.duckdb"),
        ("--tasks", "2000", "--keep", "{stores}/large.duckdb"),
        times=1,
    ),
    Measurement(
        "query5",
        "querying",
        ("--store", "{stores}/small.duckdb"),
        ("--times", "3", "--store", "{stores}/small.duckdb"),
    ),
    Measurement(
        "query6",
        "querying",
        ("--store", "{stores}/large.duckdb"),
        ("--times", "3", "--store", "{stores}/large.duckdb"),
    ),
    *deploying.MEASUREMENTS,
)
"""In this order; those of a peer beside ours, by turns."""

_INLOOP = Figure("inloop", "cpu_us")
_PERSIST = Figure("persist", "cpu_us")
_FLOWCEPT_QUERY = Figure("flowcept", "query_ms")

LINES = (
    Line(
        "in the loop, offline: CPU a task",
        "us",
        _INLOOP,
        9,
        Figure("flowcept_inloop", "cpu_us"),
        f"{_FLOWCEPT}, not crash-safe",
        2.5,
    ),
    Line(
        "the same, beside its flush to a file",
        "us",
        _INLOOP,
        None,
        Figure("flowcept_inloop", "flushed_us"),
        f"{_FLOWCEPT} with its flush",
    ),
    Line(
        "in the loop, 4 threads: CPU a task",
        "us",
        Figure("inloop4", "cpu_us"),
        9,
        Figure("flowcept_inloop4", "cpu_us"),
        f"{_FLOWCEPT}, not crash-safe",
    ),
    Line(
        "stored and queryable: CPU of all processes a task",
        "us",
        _PERSIST,
        20,
        Figure("flowcept", "cpu_us"),
        f"{_FLOWCEPT}, Redis, LMDB",
        8,
    ),
    Line(
        "the same, beside one run of MLflow",
        "us",
        _PERSIST,
        None,
        Figure("mlflow", "cpu_us"),
        "MLflow, SQLite",
        1000,
    ),
    Line("of it, in the application", "us", Figure("persist", "application_us")),
    Line("of it, in broker, service and store", "us", Figure("persist", "service_us")),
    Line(
        "stored in MonetDB: CPU of all processes a task",
        "us",
        Figure("monetdb", "cpu_us"),
        None,
        _PERSIST,
        "optiprov on DuckDB",
        0.5,
    ),
    Line(
        "on the wire, in full batches: bytes a task",
        "B",
        Figure("wire", "wire_bytes"),
        60,
        Figure("flowcept", "wire_bytes"),
        f"{_FLOWCEPT}, to Redis",
    ),
    Line("client memory: growth from 10^5 to 10^6 tasks", "MiB", Figure("memory", "growth_mib"), 8),
    Line("client memory after 10^6 tasks", "MiB", Figure("memory", "all_mib")),
    Line(
        "task.end() to behind the barrier, 1,000 tasks/s: median", "ms", Figure("visibility", "median_ms"), 20
    ),
    Line("task.end() to behind the barrier: 99th percentile", "ms", Figure("visibility", "p99_ms"), 100),
    Line(
        "accuracy > 0.9 over 10^5 tasks, in process",
        "ms",
        Figure("query5", "open_ms"),
        10,
        _FLOWCEPT_QUERY,
        f"{_FLOWCEPT}, LMDB",
    ),
    Line("the same, connect() on a file", "ms", Figure("query5", "file_ms")),
    Line("the same, over HTTP", "ms", Figure("query5", "http_ms")),
    Line("accuracy > 0.9 over 10^6 tasks, in process", "ms", Figure("query6", "open_ms"), 40),
    Line("the same, connect() on a file", "ms", Figure("query6", "file_ms")),
    Line("the same, over HTTP", "ms", Figure("query6", "http_ms")),
    *deploying.LINES,
)
