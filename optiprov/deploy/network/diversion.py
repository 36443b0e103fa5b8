"""Has hosts send what goes over an emulated link to the bridge itself, and all else to whom it is for."""

from __future__ import annotations

import array
import contextlib
import fcntl
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from optiprov.deploy.network.addresses import INTERFACE, address4, address6, mac
from optiprov.deploy.network.kernel import enter_network_namespace
from optiprov.deploy.network.namespaces import run_ip

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optiprov.deploy.network.links import Link

_SIOCETHTOOL = 0x8946
_SEGMENTATION = (0x1F, 0x24)  # ETHTOOL_STSO, ETHTOOL_SGSO


class Diversion:
    """What hosts send to the bridge. Used by one thread at a time, which is in other namespaces then.

    Args:
        hosts: A descriptor of the namespace of each host, in the order of their numbers from 1.
    """

    def __init__(self, hosts: Sequence[int]) -> None:
        self._hosts = hosts
        self._diverted: dict[int, set[int]] | None = None

    def set(self, links: Sequence[Link]) -> None:
        """Divert what goes over these links, and nothing else any more.

        Raises:
            OSError: A command failed.
        """
        asked = {number: set[int]() for number in range(1, len(self._hosts) + 1)}
        for link in links:
            asked[link.source].add(link.destination)
        lossy = {link.source for link in links if link.loss_share}
        for number, destinations in asked.items():
            before = None if self._diverted is None else self._diverted[number]
            if before or destinations or before is None:
                enter_network_namespace(self._hosts[number - 1])
                run_ip(_commands(before, destinations))
                # What is lost is lost by the packet, so that a host cuts its segments itself.
                _set_segmentation(is_left_to_hardware=number not in lossy)
        self._diverted = asked


def _commands(before: set[int] | None, destinations: set[int]) -> list[str]:
    """The commands of `ip` for one host; what was diverted before is not known after a restart."""
    gone = [] if before is None else sorted(before - destinations)
    addresses_gone = [address for number in gone for address in _addresses(number)]
    addresses = [
        address for number in sorted(destinations - (before or set())) for address in _addresses(number)
    ]
    return [
        *([f"neighbour flush dev {INTERFACE} nud permanent"] if before is None else []),
        *(f"neighbour del {address} dev {INTERFACE}" for address in addresses_gone),
        *(
            f"neighbour replace {address} lladdr {mac(0)} dev {INTERFACE} nud permanent"
            for address in addresses
        ),
    ]


def _addresses(number: int) -> list[str]:
    return [address4(number), *([address6(number)] if _has_ipv6() else [])]


def _has_ipv6() -> bool:
    """Whether the interface of this thread's namespace has an IPv6 address."""
    with contextlib.suppress(OSError):
        return INTERFACE in Path("/proc/thread-self/net/if_inet6").read_text(encoding="utf-8")
    return False


def _set_segmentation(*, is_left_to_hardware: bool) -> None:
    """Have the interface of this thread's namespace take segments longer than packets, or not."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for command in _SEGMENTATION:
            value = array.array("I", [command, int(is_left_to_hardware)])
            pointer, _ = value.buffer_info()
            fcntl.ioctl(control, _SIOCETHTOOL, struct.pack("16sP16x", INTERFACE.encode(), pointer))
