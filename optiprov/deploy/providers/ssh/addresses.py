"""By which addresses other hosts reach a machine."""

from __future__ import annotations

import socket
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optiprov.deploy.providers.ssh.machine import Machine

_TIMEOUT_S = 10.0


def addresses_of(machine: Machine) -> tuple[str, str | None]:
    """The IPv4 address of a machine and its IPv6 address, from the name that ssh makes of what was given.

    Where it has no IPv4 address, or a name that only others know (behind a jump host), the first one is the
    IPv6 address or that name.
    """
    name = _host_name(machine)
    v4, v6 = _first(name, socket.AF_INET), _first(name, socket.AF_INET6)
    return v4 or v6 or name, v6


def _host_name(machine: Machine) -> str:
    """The `HostName` of ssh's settings, which may have an alias."""
    command = machine.ssh("-G")
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return machine.address
    settings = dict(line.partition(" ")[::2] for line in told.stdout.splitlines())
    return settings.get("hostname", machine.address)


def _first(name: str, family: socket.AddressFamily) -> str | None:
    try:
        found = socket.getaddrinfo(name, None, family, socket.SOCK_STREAM)
    except OSError:
        return None
    return str(found[0][4][0]) if found else None
