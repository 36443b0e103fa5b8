"""What FlowCept takes for the same task with Redis and LMDB: CPU, bytes to Redis, and a query afterwards.

Redis is a process of its own, started here; FlowCept's consumer, which writes LMDB, is a thread of the
application, as its documentation starts it. The settings are those of its sample, with the online mode, Redis
and LMDB switched on. This runs in the virtual environment of the peers.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from experiments.overhead.cpu import report, tree_cpu_s
from experiments.overhead.flowcept_inloop import run_tasks, training
from experiments.overhead.scratch import scratch_directory
from experiments.overhead.workload import BEST

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_WARM_UP = 1_000
_START_TIMEOUT_S = 10


def main() -> None:
    """Measure, and print microseconds of CPU a task, bytes a task, and milliseconds a query."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=100_000)
    options = parser.parse_args()
    if shutil.which("redis-server") is None:
        report(missing="no redis-server: install the package of that name")
        return
    directory = scratch_directory()
    os.chdir(directory)
    with _running_redis(directory) as (redis, port):
        settings = directory / "settings.yaml"
        settings.write_text(json.dumps(_settings(port, directory / "lmdb")), encoding="utf-8")  # JSON is YAML
        os.environ["FLOWCEPT_SETTINGS_PATH"] = str(settings)
        report(tasks=options.tasks, **_measure(redis, port, options.tasks))


@contextmanager
def _running_redis(directory: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = subprocess.Popen([*command, "--dir", str(directory)], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        yield process, port
    finally:
        process.terminate()
        process.wait()


def _settings(port: int, lmdb: Path) -> dict[str, Any]:
    return {
        "project": {"db_flush_mode": "online", "dump_buffer": {"enabled": False}, "enrich_messages": False},
        "mq": {
            "enabled": True,
            "type": "redis",
            "host": "127.0.0.1",
            "port": port,
            "channel": "interception",
            "buffer_size": 50,
            "insertion_buffer_time_secs": 5,
        },
        "kv_db": {"enabled": True, "host": "127.0.0.1", "port": port},
        "db_buffer": {"insertion_buffer_time_secs": 5, "buffer_size": 50},
        "databases": {"mongodb": {"enabled": False}, "lmdb": {"enabled": True, "path": str(lmdb)}},
        "log": {"log_file_level": "disable", "log_stream_level": "disable"},
    }


def _measure(redis: subprocess.Popen[bytes], port: int, tasks: int) -> dict[str, float]:
    from flowcept import Flowcept, flowcept_task

    controller = Flowcept(workflow_name="bench").start()
    task = flowcept_task(training)
    run_tasks(task, 0, _WARM_UP)
    received = _received_bytes(port)
    ours, theirs, wall = time.process_time(), tree_cpu_s(redis.pid), time.perf_counter()
    run_tasks(task, _WARM_UP, tasks)
    emitted_s = time.perf_counter() - wall
    controller.stop()  # waits until the consumer has written what it was sent
    cpu_s = time.process_time() - ours + tree_cpu_s(redis.pid) - theirs
    wall_s = time.perf_counter() - wall
    sent_bytes = _received_bytes(port) - received
    stored = int(Flowcept.db.get_dao_instance().count_tasks())
    times_s, rows = [], 0
    for _ in range(3):
        began = time.perf_counter()
        rows = len(Flowcept.db.task_query(filter={"generated.accuracy": {"$gt": BEST}}) or [])
        times_s.append(time.perf_counter() - began)
    return {
        "cpu_us": 1e6 * cpu_s / tasks,
        "wire_bytes": sent_bytes / tasks,
        "emitted_s": emitted_s,
        "stored_s": wall_s,
        "stored_tasks": stored - _WARM_UP,
        "query_ms": 1e3 * statistics.median(times_s),
        "query_rows": rows,
    }


def _received_bytes(port: int) -> int:
    """Return what Redis has received so far, by its own count."""
    import redis

    return int(redis.Redis("127.0.0.1", port).info("stats")["total_net_input_bytes"])


if __name__ == "__main__":
    main()
