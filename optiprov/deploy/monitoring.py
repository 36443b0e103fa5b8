"""Monitoring of hosts, as the key `monitoring` with the type dstat asks for it."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from optiprov.deploy.journal import marker_of
from optiprov.deploy.watchdog import end_processes, find_processes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optiprov.deploy.journal import Journal
    from optiprov.deploy.providers.base import Host

MONITORING_ROLE = "monitoring"
"""The role whose hosts are monitored; all are where no service has it."""

INTERVAL_S = 1.0
GRACE_S = 10.0
READY_TIMEOUT_S = 30.0
_VARIABLE = "OPTIPROV_MONITOR_OF"
_PACKAGE_ROOT = Path(__file__).resolve().parents[2]


class HostMonitor:
    """The process that samples the hosts of a deployment on this machine.

    It is found by its environment, so that a later process can end what an earlier one started.

    Args:
        deployment_id: The deployment's id.
        directory: The deployment's directory.
        journal: Where the process is written before it is started.
    """

    def __init__(self, deployment_id: str, directory: Path, journal: Journal) -> None:
        self.spool_dir = directory / "monitoring" / "spool"
        self._id = deployment_id
        self._log = directory / "monitoring" / "monitor.log"
        self._journal = journal
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, hosts: Sequence[Host], environment: Mapping[str, str]) -> None:
        """Start it, unless it runs, and wait for its first sample.

        Args:
            hosts: All hosts of the deployment.
            environment: Where the process sends what it samples.
        """
        if find_processes((self._marker,), set()):
            return
        chosen = [host for host in hosts if MONITORING_ROLE in host.roles] or hosts
        self.spool_dir.mkdir(parents=True, exist_ok=True)
        self._journal.write("monitor", hosts=len(chosen))
        command = [sys.executable, "-m", "optiprov.capture.monitor", marker_of(self._id), str(INTERVAL_S)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *map(_described, chosen)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **environment, **self._own_environment()},
                start_new_session=True,
            )
        # What is launched now is sampled from its first moment on.
        if self._process.stdout is not None:
            with self._process.stdout as output, selectors.DefaultSelector() as selector:
                selector.register(output, selectors.EVENT_READ)
                selector.select(READY_TIMEOUT_S)

    def stop(self) -> None:
        """End it, after a last sample; does nothing where it does not run."""
        end_processes((self._marker,), set(), grace_s=GRACE_S, deadline_s=2 * GRACE_S)
        if self._process is not None:
            self._process.wait()
            self._process = None

    @property
    def _marker(self) -> str:
        return f"{_VARIABLE}={self._id}"

    def _own_environment(self) -> dict[str, str]:
        path = os.pathsep.join(filter(None, [str(_PACKAGE_ROOT), os.environ.get("PYTHONPATH", "")]))
        return {_VARIABLE: self._id, "OPTIPROV_SPOOL": str(self.spool_dir), "PYTHONPATH": path}


def _described(host: Host) -> str:
    """A host as the monitor has it: with where its network is counted, if it has one of its own."""
    if host.network_counters is None:
        return host.id
    path, interface = host.network_counters
    return f"{host.id}={interface}@{path}"
