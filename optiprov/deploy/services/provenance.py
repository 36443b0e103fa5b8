"""The service `Provenance`: a provenance service on a host of a layer."""

from __future__ import annotations

import ipaddress
import json
import time
from typing import TYPE_CHECKING, Any

from optiprov.deploy.services.base import Service
from optiprov.errors import DeploymentError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from optiprov.deploy.services.hosts import ServiceHost
    from optiprov.deploy.services.processes import Running

START_TIMEOUT_S = 60.0
_LOOK_S = 0.05
_STORE = "provenance.duckdb"
_FILES = ("broker_users", "token_file")


class Provenance(Service):
    """A provenance service on each of its hosts, as `optiprov serve` runs it, beside that of `provenance:`.

    Its broker listens at the host's port. The store is a file in the host's working directory, or what the
    key `store` says. Beyond loopback it needs the keys `broker_users` and `token_file`, which name files of
    the artifacts.
    """

    def deploy(self) -> None:
        """Start it, wait until it is ready, and register its addresses: `broker`, `http` and `store`."""
        for host in self.hosts:
            running = host.start(self._command(host), name="provenance")
            addresses = _addresses(host, running)
            extra = {"broker": addresses["mqtt"], "http": addresses["http"], "store": addresses["store"]}
            self.register_service(hosts=[host], extra=[extra])

    @classmethod
    def misfits(cls, service_metadata: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Its keys are texts."""
        for key in ("store", *_FILES):
            value = service_metadata.get(key)
            if value is not None and not isinstance(value, str):
                yield key, f"got {value!r}, expected a text."

    def _command(self, host: ServiceHost) -> list[str]:
        metadata = self.service_metadata
        command = ["python3", "-m", "optiprov.cli", "serve", "--host", host.address]
        command += ["--store", str(metadata.get("store") or _STORE)]
        command += ["--mqtt-port", str(host.port), "--http-port", "0"]
        if not ipaddress.ip_address(host.address).is_loopback and not all(map(metadata.get, _FILES)):
            raise DeploymentError(
                f"{host.address} of host {host.id} is reached by others: give the keys broker_users and "
                "token_file, files of the artifacts, or have the key provenance: of layers_services.yaml."
            )
        for key in _FILES:
            if metadata.get(key):
                host.copy(str(metadata[key]), f".{key}", mode=0o600)
                command += [f"--{key.replace('_', '-')}", f".{key}"]
        return command


def _addresses(host: ServiceHost, running: Running) -> dict[str, Any]:
    """What it prints when it is ready."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        lines = running.stdout.read_text(encoding="utf-8").splitlines(keepends=True)
        if lines and lines[0].endswith("\n"):
            addresses: dict[str, Any] = json.loads(lines[0])
            return addresses
        if not running.is_alive:
            raise DeploymentError(f"optiprov serve on host {host.id} {running.last_words()}")
        time.sleep(_LOOK_S)
    raise DeploymentError(f"optiprov serve on host {host.id} is not ready after {START_TIMEOUT_S:g} s")
