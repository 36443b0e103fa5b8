"""Bytes that a task takes on the wire, from the client to the broker, in full batches.

A relay between the two counts what passes: the MQTT packets with all that is in them. What comes back is
told beside.
"""

from __future__ import annotations

import argparse
from urllib.parse import urlsplit

from experiments.overhead.cpu import report
from experiments.overhead.inloop import capture
from experiments.overhead.relay import Relay, counting_relay
from experiments.overhead.scratch import scratch_directory
from experiments.overhead.service import Service, capture_through, duckdb_url, running_service
from experiments.overhead.workload import DATAFLOW

_WARM_UP = 1_000


def main() -> None:
    """Measure, and print bytes a task."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=100_000)
    options = parser.parse_args()
    directory = scratch_directory()
    with running_service(duckdb_url(directory)) as service:
        broker = urlsplit(service.mqtt)
        with counting_relay(broker.hostname or "127.0.0.1", broker.port or 1883) as relay:
            relayed = service._replace(mqtt=f"mqtt://127.0.0.1:{relay.port}")
            capture_through(relayed, directory / "spool")
            report(tasks=options.tasks, **_measure(relayed, relay, options.tasks))


def _measure(service: Service, relay: Relay, tasks: int) -> dict[str, float]:
    from optiprov import Workflow, connect

    warm = Workflow(DATAFLOW)
    warm.begin()
    capture(warm, 0, _WARM_UP)
    warm.end()
    workflow = Workflow(DATAFLOW)
    workflow.begin()
    sent, received = relay.sent_bytes, relay.received_bytes
    capture(workflow, _WARM_UP, tasks)
    workflow.end()
    figures = {
        "wire_bytes": (relay.sent_bytes - sent) / tasks,
        "received_bytes": (relay.received_bytes - received) / tasks,
    }
    count = "SELECT count(*) AS n FROM prov.task_end WHERE run_id = ?"
    stored = int(connect(service.http).sql(count, [workflow.run_id])["n"][0])
    if stored != tasks:
        raise RuntimeError(f"{tasks} tasks were captured, and {stored} are found in the store")
    return figures


if __name__ == "__main__":
    main()
