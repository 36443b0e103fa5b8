"""Measures links between hosts of a deployment, by a script that runs on both ends."""

from __future__ import annotations

import itertools
import json
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optiprov.deploy.network import probe
from optiprov.deploy.processes import Invocation
from optiprov.errors import DeploymentError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping

    from typing_extensions import Self

    from optiprov.deploy.processes import ProcessTable
    from optiprov.deploy.providers.base import Host

STAGE = "network"
_LIFE_S = 600.0
_START_TIMEOUT_S = 30.0
_ANSWER_TIMEOUT_S = 15.0
_LOOK_S = 0.01


class Prober:
    """Runs the script on hosts; all of it ends with `close`. Safe to use from several threads.

    Args:
        hosts: The hosts, by id.
        processes: What starts processes on them.
        directory: Where the output of the script goes.
    """

    def __init__(self, hosts: Mapping[str, Host], processes: ProcessTable, directory: Path) -> None:
        self._hosts = hosts
        self._processes = processes
        self._directory = directory
        self._source = Path(probe.__file__).read_text(encoding="utf-8")
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._serving: dict[str, tuple[subprocess.Popen[bytes], Path]] = {}
        self._asking: set[subprocess.Popen[bytes]] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def serve(self, host: str) -> None:
        """Have a host answer, unless it does; it is ready when it is asked for."""
        with self._lock:
            if host not in self._serving:
                self._serving[host] = self._start(host, "serve", self._hosts[host].address, _LIFE_S)

    def echo(
        self, source: str, destination: str, packets: int, interval_s: float, wait_s: float
    ) -> list[float]:
        """The seconds that packets take there and back, of those that come back."""
        port = self._ports(destination)["echo"]
        told = self._ask(source, destination, "echo", port, packets, interval_s, wait_s)
        return [float(time_s) for time_s in told["times_s"]]

    def send(
        self,
        source: str,
        destination: str,
        *,
        packets: int,
        payload_bytes: int,
        packets_per_s: float,
        limit_s: float,
        wait_s: float,
    ) -> tuple[int, Mapping[str, Any]]:
        """How many packets were sent, and what is told of them at the other end: `received`, `rate_bit_s`.

        Args:
            source: From which host.
            destination: To which.
            packets: How many at most.
            payload_bytes: How large.
            packets_per_s: How fast.
            limit_s: For how long at most.
            wait_s: How long one may be under way.
        """
        stream = next(self._numbers)
        port = self._ports(destination)["sink"]
        told = self._ask(
            source, destination, "send", port, stream, packets, payload_bytes, packets_per_s, limit_s
        )
        found = self._find(destination, stream, probe.IDLE_S + wait_s + 1)
        nothing = {"received": 0, "dropped": 0, "rate_bit_s": None}
        return int(told["sent"]), found or nothing

    def tcp(self, source: str, destination: str, seconds: float, buffer_bytes: int) -> float | None:
        """The bits that pass in a second over one connection; None where there is none.

        Args:
            source: From which host.
            destination: To which.
            seconds: For how long.
            buffer_bytes: How much waits to be acknowledged at most; 0 for as much as the host finds good.
        """
        stream, port = next(self._numbers), self._ports(destination)["tcp"]
        told = self._ask(source, destination, "tcp", port, stream, seconds, buffer_bytes)
        if not told["is_connected"]:
            return None
        found = self._find(destination, stream, probe.CONNECT_TIMEOUT_S + 1)
        return float(found["rate_bit_s"]) if found else None

    def close(self) -> None:
        """End what asks, and what answers."""
        for process in list(self._asking):
            self._processes.end(process)
        for process, _ in self._serving.values():
            self._processes.end(process)
            self._processes.wait(process, None)
            self._processes.note_end(process)
        self._serving.clear()

    def _ports(self, host: str) -> Mapping[str, int]:
        self.serve(host)
        process, output = self._serving[host]
        deadline = time.monotonic() + _START_TIMEOUT_S
        while True:
            if lines := _lines(output):
                return lines[0]
            if process.poll() is not None or time.monotonic() > deadline:
                raise DeploymentError(_failure(host, output))
            time.sleep(_LOOK_S)

    def _find(self, host: str, stream: int, timeout_s: float) -> Mapping[str, Any] | None:
        """What a host tells of a stream, None where it tells nothing in time."""
        output = self._serving[host][1]
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            for line in _lines(output):
                if line.get("stream") == stream:
                    return line
            time.sleep(_LOOK_S)
        return None

    def _ask(
        self, source: str, destination: str, work: str, port: int, *arguments: float
    ) -> Mapping[str, Any]:
        """Run the script on the source to its end; what it tells."""
        address = self._hosts[destination].address
        process, output = self._start(source, work, address, port, *arguments)
        self._asking.add(process)
        if not self._processes.wait(process, _LIFE_S):
            self._processes.end(process)
        process.wait()
        self._asking.discard(process)
        self._processes.note_end(process)
        lines = _lines(output)
        if process.returncode or not lines:
            raise DeploymentError(_failure(source, output))
        return lines[0]

    def _start(self, host: str, work: str, *arguments: Any) -> tuple[subprocess.Popen[bytes], Path]:
        output = self._directory / f"{next(self._numbers):05d}-{work}.out"
        argv = ["python3", "-I", "-S", "-c", self._source, work, *map(str, arguments)]
        process = self._processes.start(
            Invocation(
                self._hosts[host],
                *(STAGE, "validate", argv, None, {}),
                stdout=output,
                stderr=output.with_suffix(".err"),
            )
        )
        return process, output


def _lines(output: Path) -> list[dict[str, Any]]:
    """The whole lines that the script has printed."""
    text = output.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def _failure(host: str, output: Path) -> str:
    said = output.with_suffix(".err").read_text(encoding="utf-8", errors="replace").strip()
    last = said.splitlines()[-1] if said else "it said nothing"
    return (
        f"host {host}: its network cannot be measured: python3 there failed: {last}. It needs one of 3.8 or "
        "later on its PATH."
    )
