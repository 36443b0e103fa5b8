"""Records the load of hosts while applications run.

`python -m optiprov.capture.monitor MARKER INTERVAL_S HOST...` runs on the machine of the hosts, one process a
machine. Each host is a task of the transformation `monitoring`, with a sample each interval: the machine's
metrics, and those of the host's processes, which several hosts of one machine do not share. SIGTERM ends it,
after a last sample.
"""

from __future__ import annotations

import signal
import sys
import threading
from typing import List, Sequence

from optiprov.capture.task import Task
from optiprov.capture.workflow import Workflow
from optiprov.records import Telemetry, now_us
from optiprov.telemetry.groups import ProcessGroups
from optiprov.telemetry.resources import RESOURCES
from optiprov.telemetry.sampler import Sampler

TRANSFORMATION = "monitoring"
DATAFLOW = "monitoring"


class Monitor:
    """Samples hosts of this machine until it is stopped.

    Args:
        hosts: ids of the hosts.
        marker: what the environment of the deployment's processes has, `NAME=value`.
    """

    def __init__(self, hosts: Sequence[str], marker: str) -> None:
        self._run = Workflow(DATAFLOW, telemetry=False)
        self._tasks = [Task(host, self._run, TRANSFORMATION, host=host) for host in hosts]
        self._machine = Sampler(RESOURCES)
        self._groups = ProcessGroups(hosts, marker)

    def run(self, interval_s: float, stopped: threading.Event) -> None:
        """Sample at each interval until `stopped` is set, and once then; say `ready` after the first."""
        self._run.begin()
        for task in self._tasks:
            task.begin()
        self._sample()
        # In one write, also with PYTHONUNBUFFERED: who waits for it closes the pipe at the first byte.
        sys.stdout.write("ready\n")
        sys.stdout.flush()
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
            self._run.emit(Telemetry(self._run.run_id, task.id, TRANSFORMATION, "sample", now_us(), values))


def main(arguments: List[str]) -> None:
    """Monitor hosts: `marker interval-in-seconds host...`, as `Monitor` has them."""
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    marker, interval_s, *hosts = arguments
    Monitor(hosts, marker).run(float(interval_s), stopped)


if __name__ == "__main__":
    main(sys.argv[1:])
