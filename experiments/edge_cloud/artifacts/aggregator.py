"""The aggregator in the cloud: put the readings of all sensors together, and measure how old they are.

It subscribes to the readings at the broker. A reading's latency is the time from when it was taken, as
the sensor wrote into it, to when it is here: in its batch, in the sensor's queue, on the link, in the
broker. The age of the aggregate is how old the newest reading is of the sensor that is furthest behind,
50 times a second while all of them stream. Both are differences of the monotonic clock, which all hosts
share as they are on one machine; between machines, the clocks would have to be synchronised.
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from provlight.data import Data
from provlight.task import Task
from provlight.workflow import Workflow

DATAFLOW = "edge_cloud"
READING = struct.Struct("<dffQ")
LOOK_S = 0.02
PATIENCE_S = 50.0


@dataclass
class Stream:
    """What came of a sensor: latencies, when its newest reading was taken (s), what it said at its end."""

    latencies_ms: list[float] = field(default_factory=list)
    newest: float = 0.0
    end: dict[str, Any] | None = None


class Aggregate:
    """The readings of all sensors so far, as one client gets them from a broker, in one thread."""

    def __init__(self, sensors: int) -> None:
        self.sensors = sensors
        self.streams: dict[str, Stream] = {}
        self.ages_ms: list[float] = []
        self.load_sum = 0.0
        self.memory_min_mib = float("inf")

    @property
    def is_complete(self) -> bool:
        """Whether each sensor has said that it has sent all."""
        return sum(stream.end is not None for stream in self.streams.values()) == self.sensors

    def take(self, _client: Client, _userdata: Any, message: MQTTMessage) -> None:
        """Take a message: a batch of readings, or the end of a sensor."""
        now = time.monotonic()
        kind, _, sensor = message.topic.partition("/")
        stream = self.streams.setdefault(sensor, Stream())
        if kind == "ended":
            stream.end = json.loads(message.payload)
            return
        for taken_at, load, memory_mib, _ in READING.iter_unpack(message.payload):
            stream.latencies_ms.append(1000 * (now - taken_at))
            stream.newest = max(stream.newest, taken_at)
            self.load_sum += load
            self.memory_min_mib = min(self.memory_min_mib, memory_mib)

    def look(self) -> None:
        """Note how old the aggregate is now, where all sensors stream."""
        streaming = [stream for stream in self.streams.values() if stream.latencies_ms and stream.end is None]
        if len(streaming) == self.sensors:
            self.ages_ms.append(1000 * (time.monotonic() - min(stream.newest for stream in streaming)))


def quantile(values: list[float], share: float) -> float:
    """Return the value below which a share of the values lies.

    >>> quantile([4.0, 1.0, 2.0, 3.0, 5.0], 0.5)
    3.0
    """
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def distribution(latencies_ms: list[float]) -> dict[str, float]:
    """Return what is recorded of latencies."""
    return {
        "latency_min_ms": min(latencies_ms),
        "latency_median_ms": quantile(latencies_ms, 0.5),
        "latency_p95_ms": quantile(latencies_ms, 0.95),
        "latency_max_ms": max(latencies_ms),
    }


def subscribe(client: Client, *_: Any) -> None:
    """Ask for the readings and the ends of all sensors; a client does so whenever it has connected."""
    client.subscribe([("readings/+", 1), ("ended/+", 1)])


def collect(broker: str, aggregate: Aggregate, ready: Path) -> None:
    """Subscribe, make the file `ready`, and take messages until all sensors have ended.

    Raises:
        TimeoutError: they have not in 50 s.
    """
    host, _, port = broker.rpartition(":")
    client = Client(CallbackAPIVersion.VERSION2)
    client.on_connect = subscribe
    client.on_subscribe = lambda *_: ready.touch()
    client.on_message = aggregate.take
    client.connect(host, int(port))
    deadline = time.monotonic() + PATIENCE_S
    next_look = 0.0
    while not aggregate.is_complete:
        now = time.monotonic()
        if now >= deadline:
            ended = [name for name, stream in aggregate.streams.items() if stream.end is not None]
            raise TimeoutError(
                f"{len(ended)} of {aggregate.sensors} sensors have ended within {PATIENCE_S:g} s: {ended}"
            )
        if now >= next_look:
            aggregate.look()
            next_look = now + LOOK_S
        client.loop(max(0.001, next_look - time.monotonic()))
    client.disconnect()


def row(values: dict[str, Any]) -> dict[str, list[Any]]:
    """Return the values of one data item as `Data` takes them: each attribute has a list."""
    return {name: [value] for name, value in values.items()}


def record(aggregate: Aggregate, workflow: Workflow, whole: Task) -> dict[str, float]:
    """Record what came of each sensor, which used what the sensor says it sent, and all of it together."""
    received: list[Data] = []
    for number, (sensor, stream) in enumerate(sorted(aggregate.streams.items()), start=2):
        end = stream.end or {}
        sent = Data("streaming_output", DATAFLOW, [], {}, id=end["item"])
        task = Task(number, workflow, "reception", dependencies=[])
        task.begin([sent])
        count = len(stream.latencies_ms)
        result = {"sensor": sensor, "received": count, "lost": end["sent"] - count}
        result.update(distribution(stream.latencies_ms))
        received.append(Data("reception_output", DATAFLOW, [sent], row(result)))
        task.end([received[-1]])
    latencies = [value for stream in aggregate.streams.values() for value in stream.latencies_ms]
    total = sum((stream.end or {})["sent"] for stream in aggregate.streams.values())
    outcome = {
        "received": len(latencies),
        "lost": total - len(latencies),
        **distribution(latencies),
        "age_median_ms": quantile(aggregate.ages_ms, 0.5),
        "age_max_ms": max(aggregate.ages_ms),
        "load": aggregate.load_sum / len(latencies),
        "memory_min_mib": aggregate.memory_min_mib,
    }
    whole.end([Data("aggregation_output", DATAFLOW, received, row(outcome))])
    return outcome


def main() -> int:
    """Aggregate, measure and record; return the exit status."""
    parser = argparse.ArgumentParser(description="Aggregate the readings of sensors.")
    parser.add_argument("--broker", required=True, metavar="HOST:PORT")
    parser.add_argument("--sensors", type=int, required=True, help="how many there are")
    parser.add_argument("--ready", type=Path, required=True, help="file to make when it has subscribed")
    parser.add_argument("--delay-ms", type=int, required=True, help="of the link, to be recorded")
    parser.add_argument("--rate-kbit", type=int, required=True, help="of the link, to be recorded")
    parser.add_argument("--batch", type=int, required=True, help="readings in a message, to be recorded")
    options = parser.parse_args()
    workflow = Workflow(DATAFLOW)
    workflow.begin()
    chosen = {"delay_ms": options.delay_ms, "rate_kbit": options.rate_kbit, "batch": options.batch}
    task = Task(1, workflow, "aggregation", dependencies=[])
    task.begin([Data("aggregation_input", DATAFLOW, [], row(chosen))])
    aggregate = Aggregate(options.sensors)
    try:
        collect(options.broker, aggregate, options.ready)
    except OSError as error:
        print(f"aggregator.py: {error}", file=sys.stderr)
        return 1
    outcome = record(aggregate, workflow, task)
    workflow.end()
    print(", ".join(f"{name} {value:.6g}" for name, value in outcome.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
