"""Records the load of hosts while applications run.

`python -m optiprov.capture.monitor MARKER INTERVAL_S HOST...` runs on the machine of the hosts, one process a
machine. Each host is a task of the transformation `monitoring`, with a sample each interval: the machine's
metrics, and those of the host's processes, which several hosts of one machine do not share. A host with a
network of its own is `ID=INTERFACE@FILE`: that interface of a file like /proc/net/dev is what its own is
connected to. SIGTERM ends it, after a last sample.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from typing import Dict, List, Sequence

from optiprov.capture.task import Task
from optiprov.capture.workflow import Workflow
from optiprov.records import Telemetry, now_us
from optiprov.telemetry.groups import ProcessGroups
from optiprov.telemetry.procfs import read_network_behind
from optiprov.telemetry.resources import RESOURCES
from optiprov.telemetry.sampler import Sampler

TRANSFORMATION = "monitoring"
DATAFLOW = "monitoring"


class Monitor:
    """Samples hosts of this machine until it is stopped.

    Args:
        hosts: ids of the hosts, with where their network is counted as in the text above.
        marker: what the environment of the deployment's processes has, `NAME=value`.
    """

    def __init__(self, hosts: Sequence[str], marker: str) -> None:
        self._run = Workflow(DATAFLOW, telemetry=False)
        places = {host: place for host, _, place in (one.partition("=") for one in hosts)}
        self._networks = {host: place.partition("@") for host, place in places.items() if place}
        self._tasks = [Task(host, self._run, TRANSFORMATION, host=host) for host in places]
        self._machine = Sampler(RESOURCES)
        self._groups = ProcessGroups(list(places), marker)

    def run(self, interval_s: float, stopped: threading.Event) -> None:
        """Sample at each interval until `stopped` is set, and once then; say `ready` after the first."""
        self._run.begin()
        for task in self._tasks:
            task.begin()
        self._sample()
        with contextlib.suppress(OSError):  # who started the process may have stopped waiting
            os.write(1, b"ready\n")
        while not stopped.wait(interval_s):
            self._sample()
        self._sample()
        for task in self._tasks:
            task.end()
        self._run.end()

    def _sample(self) -> None:
        machine = {name: value for name, value in self._machine.sample().items() if name.startswith("host.")}
        groups = self._groups.sample()
        for task in self._tasks:
            values = {**machine, **groups[task.id]}
            if task.id in self._networks:
                values = {**_without_network(values), **self._network_of(task.id)}
            self._run.emit(Telemetry(self._run.run_id, task.id, TRANSFORMATION, "sample", now_us(), values))

    def _network_of(self, host: str) -> Dict[str, float]:
        interface, _, path = self._networks[host]
        try:
            return read_network_behind(path, interface)
        except (OSError, KeyError):  # the network has ended
            return {}


def _without_network(values: Dict[str, float]) -> Dict[str, float]:
    """Leave out what is counted of the machine's network, on which such a host sends nothing."""
    return {name: value for name, value in values.items() if not name.startswith("host.network")}


def main(arguments: List[str]) -> None:
    """Monitor hosts: `marker interval-in-seconds host...`, as `Monitor` has them."""
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    marker, interval_s, *hosts = arguments
    Monitor(hosts, marker).run(float(interval_s), stopped)


if __name__ == "__main__":
    main(sys.argv[1:])
