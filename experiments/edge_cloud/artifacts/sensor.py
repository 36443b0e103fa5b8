"""A sensor at the edge: read what this machine does, and stream it in batches to a broker in the cloud.

A reading is taken every few milliseconds: the load and the available memory of this machine, and the
bytes that this host has sent, headers included, as the kernel counts them. A batch of them is one MQTT
message of QoS 1. At most eight messages are under way without the broker's acknowledgement; what comes
then waits in this process.
"""

from __future__ import annotations

import argparse
import json
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from paho.mqtt.client import Client, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion
from provlight.data import Data
from provlight.task import Task
from provlight.workflow import Workflow

DATAFLOW = "edge_cloud"
READING = struct.Struct("<dffQ")
"""When it was taken (s, monotonic), load, available memory (MiB), bytes that the host has sent so far."""
IN_FLIGHT = 8
CONNECT_TIMEOUT_S = 20.0
DELIVERY_TIMEOUT_S = 60.0


class Streamed(NamedTuple):
    """What was sent, and how long that took."""

    readings: int
    messages: int
    wire_bytes: int
    streaming_time_s: float


def sent_bytes() -> int:
    """Return how many bytes this host has sent over its interfaces but loopback, headers included."""
    lines = Path("/proc/self/net/dev").read_text(encoding="ascii").splitlines()[2:]
    counters = (line.split(":") for line in lines)
    return sum(int(values.split()[8]) for name, values in counters if name.strip() != "lo")


def read() -> bytes:
    """Take a reading."""
    load = float(Path("/proc/loadavg").read_text(encoding="ascii").split()[0])
    memory = Path("/proc/meminfo").read_text(encoding="ascii").partition("MemAvailable:")[2]
    return READING.pack(time.monotonic(), load, int(memory.split()[0]) / 1024, sent_bytes())


def connect(url: str) -> Client:
    """Connect to the broker, whose acknowledgements a thread takes from then on.

    Raises:
        ConnectionError: it did not answer in time.
    """
    host, _, port = url.rpartition(":")
    client = Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(IN_FLIGHT)
    client.on_socket_open = send_at_once
    client.connect(host, int(port))
    client.loop_start()
    deadline = time.monotonic() + CONNECT_TIMEOUT_S
    while not client.is_connected():
        if time.monotonic() >= deadline:
            raise ConnectionError(f"the broker at {url} did not answer within {CONNECT_TIMEOUT_S:g} s")
        time.sleep(0.005)
    return client


def send_at_once(_client: Client, _userdata: Any, connection: Any) -> None:
    """Have no message wait in the kernel for the acknowledgement of the one before (Nagle's algorithm)."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def stream(client: Client, options: argparse.Namespace) -> Streamed:
    """Take readings at even times and publish them in batches; return when the broker has them all."""
    topic = f"readings/{options.name}"
    before, started = sent_bytes(), time.monotonic()
    batch: list[bytes] = []
    published: list[MQTTMessageInfo] = []
    for number in range(options.readings):
        time.sleep(max(0.0, started + number * options.period_ms / 1000 - time.monotonic()))
        batch.append(read())
        if len(batch) == options.batch or number == options.readings - 1:
            published.append(client.publish(topic, b"".join(batch), qos=1))
            batch.clear()
    wait_for(published)
    return Streamed(options.readings, len(published), sent_bytes() - before, time.monotonic() - started)


def wait_for(published: list[MQTTMessageInfo]) -> None:
    """Wait until the broker has acknowledged messages.

    Raises:
        ConnectionError: it did not in time.
    """
    deadline = time.monotonic() + DELIVERY_TIMEOUT_S
    for message in published:
        message.wait_for_publish(max(0.0, deadline - time.monotonic()))
        if not message.is_published():
            raise ConnectionError(f"the broker has not taken all messages within {DELIVERY_TIMEOUT_S:g} s")


def row(values: dict[str, Any]) -> dict[str, list[Any]]:
    """Return the values of one data item as `Data` takes them: each attribute has a list."""
    return {name: [value] for name, value in values.items()}


def stream_recorded(client: Client, options: argparse.Namespace) -> tuple[Streamed, str]:
    """Stream as one task of a run; return what was sent, and the id of the data item that says so."""
    workflow = Workflow(DATAFLOW)
    workflow.begin()
    task = Task(1, workflow, "streaming", dependencies=[])
    chosen = {
        "sensor": options.name,
        "batch": options.batch,
        "period_ms": options.period_ms,
        "readings": options.readings,
    }
    used = Data("streaming_input", DATAFLOW, [], row(chosen))
    task.begin([used])
    sent = stream(client, options)
    result = {
        "sensor": options.name,
        "sent": sent.readings,
        "messages": sent.messages,
        "wire_bytes": sent.wire_bytes,
        "streaming_time": sent.streaming_time_s,
    }
    item = Data("streaming_output", DATAFLOW, [used], row(result))
    task.end([item])
    workflow.end()
    return sent, str(item.id)


def main() -> int:
    """Stream, record, and tell the aggregator that this was all; return the exit status."""
    parser = argparse.ArgumentParser(description="Stream readings of this machine to a broker.")
    parser.add_argument("--broker", required=True, metavar="HOST:PORT")
    parser.add_argument("--name", required=True, help="what the sensor is called")
    parser.add_argument("--readings", type=int, required=True, help="how many are taken")
    parser.add_argument("--period-ms", type=float, required=True, help="time from one to the next")
    parser.add_argument("--batch", type=int, required=True, help="readings in a message")
    options = parser.parse_args()
    try:
        client = connect(options.broker)
        sent, item = stream_recorded(client, options)
        end = json.dumps({"sent": sent.readings, "item": item})
        wait_for([client.publish(f"ended/{options.name}", end, qos=1)])
    except OSError as error:
        print(f"sensor.py: {error}", file=sys.stderr)
        return 1
    client.disconnect()
    print(f"{sent.readings} readings in {sent.messages} messages, {sent.wire_bytes} bytes on the wire")
    return 0


if __name__ == "__main__":
    sys.exit(main())
