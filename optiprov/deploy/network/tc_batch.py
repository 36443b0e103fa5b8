"""The lines for `tc -batch` that emulate what lies between one interface and some destinations.

At the root an htb; below it a class for each destination, with its rate, and in that a netem with its
delay and loss. Filters by destination address lead there; what goes elsewhere passes by.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from optiprov.deploy.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from optiprov.deploy.network.base import Link

HANDLE = "f70"
"""The handle of our htb, by which it is known from others."""

MAX_CLASSES = 0xFFFE
_NO_LIMIT_BIT_S = 100_000_000_000
_LEAST_RATE_BIT_S = 8  # tc counts in bytes a second
_QUEUE_S = 0.1
_LEAST_QUEUE = 50
_PACKET_BIT = 1500 * 8
_SMALL_PACKET_BIT = 200 * 8
_MOST_PACKETS_S = 1_000_000
_MTU_BYTES = 1600
_BURST_S = 0.001
_FAMILIES = (("ip", "ip", 32), ("ipv6", "ip6", 128))


@frozen
class Target:
    """One destination of an interface.

    Attributes:
        link: What lies before it.
        address: Its IPv4 address.
        address6: Its IPv6 address, None where it has none or it is reached by another interface.
    """

    link: Link
    address: str
    address6: str | None = None


def emulating(device: str, targets: Sequence[Target]) -> list[str]:
    """The lines that put exactly these targets on an interface, in place of whatever is there now."""
    lines = [
        # An htb that is replaced by an htb keeps its classes: something else goes between.
        f"qdisc replace dev {device} root pfifo",
        f"qdisc replace dev {device} root handle {HANDLE}: htb",
    ]
    for number, target in enumerate(targets, 1):
        lines += _class_of(device, number, target.link)
        lines += _filters(device, number, target)
    return lines


def needs_netem(link: Link) -> bool:
    """Whether a rate alone, which htb has, does not do."""
    return link.delay_s > 0 or link.loss_share > 0


def limit_packets(link: Link) -> int:
    """How many packets wait before a destination: those under way, and a queue of 0.1 s.

    Those under way are counted as small ones, of which more fit into a rate.

    >>> from optiprov.deploy.network.base import Link
    >>> limit_packets(Link("a", "b", delay_s=0.028, rate_bit_s=1e9))
    25834
    """
    rate = link.rate_bit_s
    per_s = _MOST_PACKETS_S if rate is None else min(_MOST_PACKETS_S, rate / _SMALL_PACKET_BIT)
    queue = _MOST_PACKETS_S * _QUEUE_S if rate is None else rate * _QUEUE_S / _PACKET_BIT
    return math.ceil(per_s * link.delay_s) + max(_LEAST_QUEUE, math.ceil(queue))


def _class_of(device: str, number: int, link: Link) -> list[str]:
    rate = max(_LEAST_RATE_BIT_S, round(link.rate_bit_s or _NO_LIMIT_BIT_S))
    burst = max(_MTU_BYTES, round(rate * _BURST_S / 8))
    classid, limit = f"{HANDLE}:{number:x}", limit_packets(link)
    leaf = f"pfifo limit {limit}"
    if needs_netem(link):
        delay = f" delay {round(link.delay_s * 1e6)}us" if link.delay_s else ""
        loss = f" loss {link.loss_share * 100:.7g}%" if link.loss_share else ""
        leaf = f"netem limit {limit}{delay}{loss}"
    tokens = f"rate {rate}bit ceil {rate}bit burst {burst} cburst {burst} quantum {_MTU_BYTES}"
    return [
        f"class add dev {device} parent {HANDLE}: classid {classid} htb {tokens}",
        f"qdisc add dev {device} parent {classid} {leaf}",
    ]


def _filters(device: str, number: int, target: Target) -> Iterator[str]:
    addresses = (target.address, target.address6)
    for priority, (address, (protocol, match, bits)) in enumerate(zip(addresses, _FAMILIES, strict=True), 1):
        if address is not None:
            yield (
                f"filter add dev {device} parent {HANDLE}: protocol {protocol} prio {priority} "
                f"u32 match {match} dst {address}/{bits} flowid {HANDLE}:{number:x}"
            )
