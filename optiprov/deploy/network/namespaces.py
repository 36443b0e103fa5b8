"""Makes the network namespaces of a deployment: a switch, and one a host connected to it."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from optiprov.deploy.network.addresses import (
    BRIDGE,
    INTERFACE,
    PREFIX4,
    PREFIX6,
    address4,
    address6,
    bridge_port,
    mac,
)
from optiprov.deploy.network.kernel import enter_network_namespace, make_network_namespace

if TYPE_CHECKING:
    from collections.abc import Sequence

_SYSCTL = Path("/proc/sys/net")
_SETTINGS = {
    "ipv4/ping_group_range": f"{os.getgid()} {os.getgid()}",
    "ipv4/ip_unprivileged_port_start": "0",
}
"""A host's processes may send pings and listen on any port, as on a machine of their own."""


def make_namespaces(count: int) -> list[int]:
    """Make a switch and hosts, in a thread that ends then.

    Args:
        count: How many hosts.

    Returns:
        A descriptor of each namespace: that of the switch, then those of the hosts in their order.

    Raises:
        OSError: The kernel refuses, or a command failed.
    """
    descriptors = [make_network_namespace() for _ in range(count + 1)]
    enter_network_namespace(descriptors[0])
    has_ipv6 = _allow_ipv6()
    run_ip(_switch(descriptors, has_ipv6=has_ipv6))
    for number, descriptor in enumerate(descriptors[1:], 1):
        enter_network_namespace(descriptor)
        if has_ipv6:
            _allow_ipv6()
        for name, value in _SETTINGS.items():
            with contextlib.suppress(OSError):  # read-only in some containers: less convenient, no more
                (_SYSCTL / name).write_text(value)
        run_ip(_host(number, has_ipv6=has_ipv6))
    return descriptors


def run_ip(commands: Sequence[str]) -> None:
    """Run commands of `ip` by one process, in the namespace of this thread.

    Raises:
        OSError: One of them failed; the message has what it said.
    """
    done = subprocess.run(
        ["ip", "-batch", "-"], input="\n".join(commands), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise OSError(f"ip: {done.stderr.strip() or done.returncode}")


def _switch(descriptors: Sequence[int], *, has_ipv6: bool) -> list[str]:
    commands = [
        "link set dev lo up",
        f"link add name {BRIDGE} address {mac(0)} type bridge mcast_snooping 0",
        *([f"link set dev {BRIDGE} addrgenmode none"] if has_ipv6 else []),
        f"link set dev {BRIDGE} up",
    ]
    for number, descriptor in enumerate(descriptors[1:], 1):
        port, place = bridge_port(number), f"/proc/{os.getpid()}/fd/{descriptor}"
        peer = f"peer name {INTERFACE} address {mac(number)} netns {place}"
        commands.append(f"link add name {port} type veth {peer}")
        if has_ipv6:
            commands.append(f"link set dev {port} addrgenmode none")
        commands.append(f"link set dev {port} master {BRIDGE} up")
    return commands


def _host(number: int, *, has_ipv6: bool) -> list[str]:
    commands = [
        "link set dev lo up",
        f"address add {address4(number)}/{PREFIX4} dev {INTERFACE}",
        f"link set dev {INTERFACE} up",
    ]
    if has_ipv6:
        commands.append(f"address add {address6(number)}/{PREFIX6} dev {INTERFACE} nodad")
    return commands


def _allow_ipv6() -> bool:
    """Whether the namespace of this thread has IPv6, after what was done to have it."""
    places = [_SYSCTL / "ipv6/conf" / name / "disable_ipv6" for name in ("all", "default")]
    for place in places:
        with contextlib.suppress(OSError):
            place.write_text("0")
    try:
        return all(place.read_text().strip() == "0" for place in places)
    except OSError:
        return False
