"""The center: collect what gateways send until all readings have come, and make a summary of each sensor.

A summary is a task in the provenance; it uses the data item that the gateway's task generated, so that
lineage goes from it to the readings.
"""

from __future__ import annotations

import argparse
import csv
import json
import socketserver
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provlight.data import Data
from provlight.task import Task
from provlight.workflow import Workflow

DATAFLOW = "fog"
TIMEOUT_S = 110.0


@dataclass
class Sums:
    """What has come of one sensor."""

    gateway: str
    count: int = 0
    total: float = 0.0
    item: str | None = None


class Handler(socketserver.StreamRequestHandler):
    """Reads the messages of one gateway."""

    server: Center

    def handle(self) -> None:
        """Take messages; a gateway is told when all have come."""
        gateway = json.loads(self.rfile.readline())["gateway"]
        self.server.meet(gateway, self.wfile)
        for line in self.rfile:
            self.server.take(gateway, json.loads(line))


class Center(socketserver.ThreadingTCPServer):
    """Collects. Its methods are called by the threads of its gateways.

    Args:
        port: where it listens.
        gateways: how many there are.
        sensors: how many there are.
    """

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int, gateways: int, sensors: int) -> None:
        super().__init__(("", port), Handler)
        self.sums: dict[str, Sums] = {}
        self.is_complete = threading.Event()
        self._gateways, self._sensors = gateways, sensors
        self._links: dict[str, Any] = {}
        self._lock = threading.Lock()

    def meet(self, gateway: str, link: Any) -> None:
        """Note a gateway."""
        with self._lock:
            self._links[gateway] = link
            self._look()

    def take(self, gateway: str, message: dict[str, Any]) -> None:
        """Add the sums over a window, or note the item of the gateway's task, which comes last."""
        with self._lock:
            sums = self.sums.setdefault(message["sensor"], Sums(gateway))
            sums.count += message.get("count", 0)
            sums.total += message.get("total", 0.0)
            sums.item = message.get("item")
            self._look()

    def dismiss(self) -> None:
        """Tell the gateways that all have come."""
        for link in self._links.values():
            link.write(b"end\n")

    def _look(self) -> None:
        complete = [sums for sums in self.sums.values() if sums.item is not None]
        if len(complete) == self._sensors and len(self._links) == self._gateways:
            self.is_complete.set()


def summarize(sums: dict[str, Sums], workflow: Workflow) -> list[dict[str, Any]]:
    """Return a row for each sensor, and record what each was made of."""
    rows: list[dict[str, Any]] = []
    for number, (sensor, one) in enumerate(sorted(sums.items())):
        row = {
            "sensor": sensor,
            "gateway": one.gateway,
            "count": one.count,
            "mean": round(one.total / one.count, 3),
        }
        task = Task(number, workflow, "summary", dependencies=[])
        windows = Data("windows", DATAFLOW, [], {}, id=one.item)
        task.begin([windows])
        values = {name: [value] for name, value in row.items()}
        task.end([Data("summary_output", DATAFLOW, [windows], values)])
        rows.append(row)
    return rows


def main() -> int:
    """Collect and write the summary; return the exit status."""
    parser = argparse.ArgumentParser(description="Collect what gateways send.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument(
        "--expected", type=Path, required=True, help="how many gateways, which sensors (JSON)"
    )
    parser.add_argument("--summary", type=Path, required=True, help="CSV file to write")
    options = parser.parse_args()
    expected = json.loads(options.expected.read_text(encoding="utf-8"))
    workflow = Workflow(DATAFLOW)
    workflow.begin()
    with Center(options.port, expected["gateways"], len(expected["sensors"])) as center:
        threading.Thread(target=center.serve_forever, daemon=True).start()
        if not center.is_complete.wait(TIMEOUT_S):
            told = f"{len(center.sums)} of {len(expected['sensors'])} sensors"
            print(f"center.py: only {told} after {TIMEOUT_S:g} s", file=sys.stderr)
            return 1
        rows = summarize(center.sums, workflow)
        with options.summary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
        center.dismiss()
        center.shutdown()
    workflow.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
