"""Processes on hosts that take rules off when the processes of the deployment are ended, by whomever."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from optiprov.deploy.processes import Invocation

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence
    from pathlib import Path

    from optiprov.deploy.processes import ProcessTable
    from optiprov.deploy.providers.base import Host

STAGE = "network"
_START_TIMEOUT_S = 10.0
_LOOK_S = 0.005
_GUARD = (
    """trap "trap '' TERM INT HUP; $1; exit" TERM INT HUP; echo stands; """
    "while :; do sleep 3600 & wait; done"
)
"""What it starts in the end is ended with it by who looks for processes, unless it takes no signal."""


class Guards:
    """The processes of one deployment that stand on hosts for its rules. Used by one thread at a time.

    Machines that are no namespaces of ours keep rules when the process that deploys is killed. A guard is a
    process of the deployment like others, so that it ends with them; then it takes the rules off.

    Args:
        processes: What starts processes on hosts, and ends them.
        directory: Where their output goes.
    """

    def __init__(self, processes: ProcessTable, directory: Path) -> None:
        self._processes = processes
        self._directory = directory
        self._standing: dict[str, subprocess.Popen[bytes]] = {}

    def stand(self, hosts: Sequence[Host], taking_off: str) -> None:
        """Have a guard on each host, unless one stands there.

        Args:
            hosts: The hosts.
            taking_off: What the shell does there to take rules off.
        """
        self._processes.open()
        started = [host for host in hosts if not self._stands(host.id)]
        outputs = [self._start(host, taking_off) for host in started]
        deadline = time.monotonic() + _START_TIMEOUT_S
        for host, output in zip(started, outputs, strict=True):
            while self._stands(host.id) and output.stat().st_size == 0 and time.monotonic() < deadline:
                time.sleep(_LOOK_S)

    @property
    def all_stand(self) -> bool:
        """Whether none of them has ended, so that what they guard is as it was."""
        return all(map(self._stands, self._standing))

    def _stands(self, host: str) -> bool:
        process = self._standing.get(host)
        return process is not None and process.poll() is None

    def _start(self, host: Host, taking_off: str) -> Path:
        log = self._directory / "logs" / host.id
        log.mkdir(parents=True, exist_ok=True)
        output = log / "network.out"
        output.unlink(missing_ok=True)
        argv = ["sh", "-c", _GUARD, "sh", taking_off]
        process = self._processes.start(
            Invocation(
                host,
                *(STAGE, "guard", argv, None, {}),
                stdout=output,
                stderr=output.with_suffix(".err"),
            )
        )
        self._standing[host.id] = process
        threading.Thread(target=self._wait_for, args=(process,), name="guard", daemon=True).start()
        return output

    def _wait_for(self, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        self._processes.note_end(process)
