"""What listens on this machine and hosts that are elsewhere, or in namespaces, have to reach."""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from optiprov.errors import DeploymentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Endpoint = tuple[str, int]

_VARIABLES = ("OPTIPROV_BROKER", "PROVLIGHT_SERVER_URL", "OPTIPROV_STORE")
_PORTS = {"mqtt": 1883, "mqtts": 8883, "http": 80, "https": 443, "": 1883}


def endpoints_of(environment: Mapping[str, str], services: Iterable[str] = ()) -> list[Endpoint]:
    """The addresses and ports of broker and provenance service, by what hosts are told of them.

    >>> endpoints_of({"OPTIPROV_BROKER": "mqtt://127.0.0.1:1883", "PROVLIGHT_SERVER_URL": "[::1]:1884"})
    [('127.0.0.1', 1883), ('::1', 1884)]

    Args:
        environment: The variables of hosts.
        services: URLs beside those.

    Raises:
        DeploymentError: One is named by a name that is not of this machine's loopback.
    """
    told = [environment[name] for name in _VARIABLES if environment.get(name)]
    found: dict[Endpoint, None] = {}
    for url in (*told, *services):
        parts = urlsplit(url if "://" in url else f"//{url}")
        port = parts.port or _PORTS.get(parts.scheme)
        if parts.hostname and port:
            found.update(dict.fromkeys((address, port) for address in _addresses(parts.hostname)))
    return list(found)


def _addresses(host: str) -> list[str]:
    """The addresses by which processes of a host look for it."""
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        pass
    try:
        found = {str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError:
        found = set()
    if found and all(ipaddress.ip_address(address).is_loopback for address in found):
        return sorted(found)
    raise DeploymentError(
        f"hosts in network namespaces ask no name server, and cannot find {host!r}, which their environment "
        "names. Name it by its address, or write `isolation: files` for the testbed local."
    )
