"""TCP ports allotted to services, never one port to two deployments of a machine."""

from __future__ import annotations

import errno
import random
import socket
from typing import TYPE_CHECKING

from optiprov.deploy.remote.ports import candidates, is_free
from optiprov.deploy.reservations import Reservations
from optiprov.errors import DeploymentError

if TYPE_CHECKING:
    from pathlib import Path


class PortAllotment:
    """Ports held for one deployment until `release()`; the kernel releases them if the process dies.

    A deployment that outlives this process reserves them too, by a file each, until its journal is closed
    or gone.

    A port is held by binding an abstract UNIX socket named after it: as wide as the TCP ports
    themselves (a network namespace), leaves no file behind, and does not hinder the application from
    binding the TCP port whenever it likes. Ports lie below the range from which the kernel takes the
    local ports of outgoing connections. Not safe to use from several threads at once.

    Args:
        reserved_for: The journal of a deployment that outlives this process; None for others.
    """

    def __init__(self, reserved_for: Path | None = None) -> None:
        self._held: list[socket.socket] = []
        self._reservations = Reservations(reserved_for)

    def allot(self) -> int:
        """Hold and return one more TCP port that nobody listens on.

        Raises:
            DeploymentError: No port is free.
        """
        ports = candidates()
        start = random.randrange(len(ports))
        for offset in range(len(ports)):
            port = ports[(start + offset) % len(ports)]
            if self._hold(port):
                return port
        raise DeploymentError(
            f"no TCP port between {ports[0]} and {ports[-1]} is free for a service. "
            "End deployments that still run on this machine."
        )

    def take(self, port: int) -> None:
        """Hold a port that an earlier process of the same deployment allotted.

        Raises:
            DeploymentError: Another deployment holds it.
        """
        if not self._bind(port):
            raise DeploymentError(
                f"the port {port} of this deployment is held by another one on this machine. "
                "Destroy that one, or deploy this one anew."
            )
        self._reservations.add(port)

    def let_go(self) -> None:
        """Hold the ports no longer; what is reserved stays so."""
        for held in self._held:
            held.close()
        self._held.clear()

    def release(self) -> None:
        """Give all ports back."""
        self.let_go()
        self._reservations.clear()

    def _hold(self, port: int) -> bool:
        if self._reservations.is_taken(port) or not self._bind(port):
            return False
        if not is_free(port):
            self._held.pop().close()
            return False
        self._reservations.add(port)
        return True

    def _bind(self, port: int) -> bool:
        held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            held.bind(f"\0optiprov-port-{port}")
        except OSError as error:
            held.close()
            if error.errno != errno.EADDRINUSE:
                raise
            return False
        self._held.append(held)
        return True
