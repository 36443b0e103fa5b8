"""A gateway: take the readings of sensors, and send the center their sums over windows, not each of them.

It ends when the center does. Each sensor's readings are a task in the provenance: what came in, and how many
windows went on. The center's tasks use what a gateway's generate: its id goes along.
"""

from __future__ import annotations

import argparse
import json
import socketserver
import sys
import threading
import time
from socket import create_connection, socket
from typing import Any, TextIO

from provlight.data import Data
from provlight.task import Task
from provlight.workflow import Workflow

DATAFLOW = "fog"
CONNECT_TIMEOUT_S = 60.0


class Uplink:
    """The connection to the center. Safe to use from several threads."""

    def __init__(self, connection: socket, name: str) -> None:
        self._link: TextIO = connection.makefile("rw", encoding="utf-8")
        self._lock = threading.Lock()
        self.send(gateway=name)

    def send(self, **message: Any) -> None:
        """Send a message as a line of JSON."""
        with self._lock:
            print(json.dumps(message), file=self._link, flush=True)

    def wait_for_end(self) -> bool:
        """Wait until the center has all it wants; whether it said so."""
        return self._link.readline() == "end\n"


class Handler(socketserver.StreamRequestHandler):
    """Takes what one sensor sends, or answers a probe."""

    server: Gateway

    def handle(self) -> None:
        """Read lines until the sensor says that it has ended."""
        kind, _, name = self.rfile.readline().decode().strip().partition(" ")
        if kind == "ping":
            self.wfile.write(b"pong\n")
        elif kind == "sensor":
            readings = [float(line) for line in iter(self.rfile.readline, b"end\n") if line.strip()]
            self.server.take(name, readings)
            self.wfile.write(b"taken\n")


class Gateway(socketserver.ThreadingTCPServer):
    """Serves sensors.

    Args:
        port: where it listens.
        uplink: the center.
        window: over how many readings a sum is taken.
        workflow: what records.
    """

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int, uplink: Uplink, window: int, workflow: Workflow) -> None:
        super().__init__(("", port), Handler)
        self._uplink = uplink
        self._window = window
        self._workflow = workflow
        self._tasks = 0
        self._lock = threading.Lock()

    def take(self, sensor: str, readings: list[float]) -> None:
        """Send the center the sums over windows, and record it."""
        with self._lock:
            self._tasks += 1
            task = Task(self._tasks, self._workflow, "aggregation", dependencies=[])
        values = {"sensor": [sensor], "count": [len(readings)], "window": [self._window]}
        used = Data("readings", DATAFLOW, [], values)
        task.begin([used])
        windows = [readings[at : at + self._window] for at in range(0, len(readings), self._window)]
        for window in windows:
            self._uplink.send(sensor=sensor, count=len(window), total=sum(window))
        generated = Data("windows", DATAFLOW, [used], {"windows": [len(windows)], "total": [sum(readings)]})
        task.end([generated])
        self._uplink.send(sensor=sensor, item=generated.id)


def connect(address: str) -> socket:
    """Connect to the center, trying again until it listens.

    Raises:
        ConnectionError: it does not listen within a minute.
    """
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + CONNECT_TIMEOUT_S
    while True:
        try:
            return create_connection((host.strip("[]"), int(port)))
        except OSError as error:
            if time.monotonic() >= deadline:
                raise ConnectionError(f"no center at {address}: {error}") from error
            time.sleep(0.05)


def main() -> int:
    """Serve until the center has all; return the exit status."""
    parser = argparse.ArgumentParser(description="Pass the readings of sensors on, in windows.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--center", required=True, metavar="HOST:PORT")
    parser.add_argument("--name", required=True)
    parser.add_argument("--window", type=int, required=True)
    options = parser.parse_args()
    workflow = Workflow(DATAFLOW)
    workflow.begin()
    with connect(options.center) as connection:
        uplink = Uplink(connection, options.name)
        with Gateway(options.port, uplink, options.window, workflow) as gateway:
            threading.Thread(target=gateway.serve_forever, daemon=True).start()
            has_all = uplink.wait_for_end()
            gateway.shutdown()
    workflow.end()
    if not has_all:
        print("gateway.py: the center ended before it had all readings", file=sys.stderr)
    return 0 if has_all else 1


if __name__ == "__main__":
    sys.exit(main())
