"""The links that are emulated: which frames wait for when, and which are lost."""

from __future__ import annotations

import heapq
import math
import random
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from optiprov.deploy.network.addresses import address4, address6, bridge_port, mac
from optiprov.deploy.network.packets import (
    Frame,
    key_of,
    key_of_frame,
    mac_bytes,
    open_packet_socket,
    send,
    size_on_wire,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

_QUEUE_S = 0.1
_LEAST_QUEUE = 50
_PACKET_BIT = 1500 * 8

MEMORY_BYTES = 256 << 20
"""How much may be under way on all links together; what comes then is lost."""


class Link(NamedTuple):
    """What packets of one host to another meet.

    Attributes:
        source: The number of the host.
        destination: The number of the other.
        delay_s: How long each takes.
        rate_bit_s: How many bits pass in a second, None for no limit.
        loss_share: The share that is lost.
    """

    source: int
    destination: int
    delay_s: float = 0.0
    rate_bit_s: float | None = None
    loss_share: float = 0.0


def queue_packets(rate_bit_s: float) -> int:
    """How many packets may wait for a rate to have time for them: 0.1 s of large ones, and 50 at least.

    >>> queue_packets(100e6), queue_packets(1e6)
    (834, 50)
    """
    return max(_LEAST_QUEUE, math.ceil(rate_bit_s * _QUEUE_S / _PACKET_BIT))


class _Line:
    """A link at work: its queue, and the port to its destination."""

    __slots__ = (
        *("busy_until", "delay_s", "loss_share", "mac", "places", "port"),
        *("seconds_a_byte", "waiting"),
    )

    def __init__(self, port: socket.socket, destination: int) -> None:
        self.port = port
        self.mac = mac_bytes(mac(destination))
        self.busy_until = 0.0
        self.waiting: deque[float] = deque()
        self.places = 0
        self.delay_s = self.seconds_a_byte = self.loss_share = 0.0

    def become(self, link: Link) -> None:
        """Behave so from now on; what is under way stays as it is."""
        self.delay_s, self.loss_share = link.delay_s, link.loss_share
        self.seconds_a_byte = 0.0 if link.rate_bit_s is None else 8 / link.rate_bit_s
        self.places = queue_packets(link.rate_bit_s or 0.0)

    def departure(self, frame: Frame, now: float) -> float | None:
        """When a frame that comes now has left the queue; None if the queue has no place for it."""
        if not self.seconds_a_byte:
            return now
        waiting = self.waiting
        while waiting and waiting[0] <= now:
            waiting.popleft()
        packets, wire_bytes = size_on_wire(frame)
        if len(waiting) + packets > self.places:
            return None
        self.busy_until = max(self.busy_until, now) + wire_bytes * self.seconds_a_byte
        waiting.extend([self.busy_until] * packets)
        return self.busy_until


class Links:
    """All links of a deployment. Used by one thread.

    The clock is that of `time.monotonic`.
    """

    def __init__(self) -> None:
        self._lines: dict[bytes, _Line] = {}
        self._of_pairs: dict[tuple[int, int], _Line] = {}
        self._ports: dict[int, socket.socket] = {}
        self._under_way: list[tuple[float, int, Frame, _Line]] = []
        self._count = 0
        self._bytes = 0
        self._random = random.Random()

    def set(self, links: Sequence[Link], seed: int | None = None) -> None:
        """Have exactly these links from now on; frames that still come for others are passed on as they are.

        Args:
            links: The links.
            seed: Has the same packets of a sequence lost; None for others each time.
        """
        if seed is not None:
            self._random.seed(seed)
        asked = {(link.source, link.destination): link for link in links}
        for pair in {**self._of_pairs, **asked}:
            line = self._of_pairs.get(pair) or self._connect(*pair)
            line.become(asked.get(pair, Link(*pair)))

    def take(self, frame: Frame) -> None:
        """Take a frame that a host has sent."""
        line = self._lines.get(key_of_frame(frame))
        if line is None or (line.loss_share and self._random.random() < line.loss_share):
            return
        left = line.departure(frame, time.monotonic())
        if left is None or self._bytes + len(frame) > MEMORY_BYTES:
            return
        self._count += 1
        self._bytes += len(frame)
        heapq.heappush(self._under_way, (left + line.delay_s, self._count, frame, line))

    def send_due(self) -> None:
        """Give frames whose time has come to their destinations."""
        under_way = self._under_way
        now = time.monotonic()
        while under_way and under_way[0][0] <= now:
            _, _, frame, line = heapq.heappop(under_way)
            self._bytes -= len(frame)
            send(line.port, line.mac, frame)

    def seconds_to_next(self) -> float | None:
        """How long until a frame is due, None if there is none."""
        return max(self._under_way[0][0] - time.monotonic(), 0.0) if self._under_way else None

    def _connect(self, source: int, destination: int) -> _Line:
        if destination not in self._ports:
            self._ports[destination] = open_packet_socket(bridge_port(destination))
        line = self._of_pairs[source, destination] = _Line(self._ports[destination], destination)
        for address in (address4(destination), address6(destination)):
            self._lines[key_of(mac(source), address)] = line
        return line
