"""How a host reaches what runs on this machine: the variables that tell of it, as they hold there."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from optiprov.deploy.providers.ssh.connection import Connection

URLS = ("OPTIPROV_BROKER", "OPTIPROV_STORE")
ADDRESSES = ("PROVLIGHT_SERVER_URL",)
FILES = ("OPTIPROV_BROKER_CA",)
"""Variables that name files of this machine."""

_LOOPBACK = ("127.", "localhost", "[::1]", "::1")
_DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883, "http": 80, "https": 443}


def environment_there(environment: Mapping[str, str], connection: Connection) -> dict[str, str]:
    """Variables for the processes of a host, from those for this machine.

    Args:
        environment: Those for this machine.
        connection: The connection to the host's machine.

    Raises:
        HostUnavailable: The machine cannot be reached, or forwards nothing.
    """
    there = dict(environment)
    for name in URLS:
        parts = urlsplit(environment.get(name, ""))
        if parts.hostname and _is_here(parts.hostname) and parts.scheme in _DEFAULT_PORTS:
            host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
            port = parts.port or _DEFAULT_PORTS[parts.scheme]
            login, at, _ = parts.netloc.rpartition("@")
            reached = _reached(connection, f"{host}:{port}")
            there[name] = parts._replace(netloc=f"{login}{at}{reached}").geturl()
    for name in ADDRESSES:
        address = environment.get(name, "")
        if _is_here(address):
            there[name] = _reached(connection, address)
    return there


def reach_services(urls: Iterable[str], connection: Connection) -> None:
    """Have URLs of this machine reached from another one by the same port, where that is free there.

    Raises:
        HostUnavailable: The machine cannot be reached, or forwards nothing.
    """
    for url in urls:
        parts = urlsplit(url)
        if parts.hostname and parts.port and _is_here(parts.hostname) and not connection.machine.is_direct:
            host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
            connection.reach_back(f"{host}:{parts.port}")


def _is_here(host: str) -> bool:
    return host.startswith(_LOOPBACK)


def _reached(connection: Connection, address: str) -> str:
    if not connection.machine.is_direct:
        return connection.reach_back(address)
    own = _own_address(connection.machine.address)
    return f"{f'[{own}]' if ':' in own else own}:{address.rpartition(':')[2]}"


def _own_address(address: str) -> str:
    """The address of this machine from which it reaches another one."""
    family, kind, protocol, _, place = socket.getaddrinfo(address, 9, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.connect(place)  # sends nothing
        return str(probe.getsockname()[0])
