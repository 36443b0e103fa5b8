"""Measures what lies between two hosts; run on both of them, as a script of its own.

It keeps to Python 3.8 and the standard library, since hosts have nothing else for certain. Each time is
taken by one clock: round trips by who asks, rates by the kernel that receives.

    probe.py serve ADDRESS LIFE_S
    probe.py echo ADDRESS PORT COUNT INTERVAL_S WAIT_S
    probe.py send ADDRESS PORT STREAM COUNT PAYLOAD_BYTES PACKETS_PER_S SECONDS
    probe.py tcp ADDRESS PORT STREAM SECONDS BUFFER_BYTES

Each prints lines of JSON. What serves prints its ports first, then a line for each stream that has ended.
"""

from __future__ import annotations

import array
import json
import select
import socket
import struct
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

HEADER = struct.Struct("!IIB")  # the stream, the packet's number, and whether it is one of the last
TCP_HEADER = struct.Struct("!Id")  # the stream, and for how long to measure
SO_TIMESTAMPNS, SO_RXQ_OVFL = 35, 40  # of Linux: when a packet came, and how many found the socket full
SO_RCVBUFFORCE, SO_SNDBUFFORCE = 33, 32
TIMESPEC, COUNT = struct.Struct("@ll"), struct.Struct("@I")
BUFFER_BYTES = 8 << 20
USUAL_BUFFER_BYTES = 200_000
IDLE_S = 4.0
TICK_S = 0.001
LATE_S = 0.01
ENDS = 20
END_INTERVAL_S = 0.005
WARM_UP_SHARE = 0.25
CONNECT_TIMEOUT_S = 5.0

_printing = threading.Lock()


def tell(**values: Any) -> None:
    """Print one line of JSON."""
    with _printing:
        sys.stdout.write(json.dumps(values) + "\n")
        sys.stdout.flush()


def make_socket(kind: int, address: str) -> socket.socket:
    """A socket for an address of either family, with buffers as large as may be."""
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    for forced, asked in ((SO_RCVBUFFORCE, socket.SO_RCVBUF), (SO_SNDBUFFORCE, socket.SO_SNDBUF)):
        if kind == socket.SOCK_DGRAM:
            try:
                made.setsockopt(socket.SOL_SOCKET, forced, BUFFER_BYTES)
            except OSError:  # which only root may do
                made.setsockopt(socket.SOL_SOCKET, asked, BUFFER_BYTES)
    return made


class Stream:
    """The packets of one stream that have come."""

    def __init__(self) -> None:
        self.numbers: set[int] = set()
        self.times: array.array[float] = array.array("d")
        self.sizes: array.array[int] = array.array("I")
        self.dropped = 0
        self.last = time.monotonic()

    def rate_bit_s(self) -> float | None:
        """The bits of payload in a second, without the first quarter: queues and buckets fill in it."""
        if len(self.times) < 3:
            return None
        since = self.times[0] + WARM_UP_SHARE * (self.times[-1] - self.times[0])
        first = next(index for index, moment in enumerate(self.times) if moment >= since)
        span = self.times[-1] - self.times[first]
        return sum(self.sizes[first + 1 :]) * 8 / span if span > 0 else None


def read_ancillary(found: Iterable[tuple[int, int, bytes]]) -> tuple[float, int]:
    """When a packet came, and how many the socket had no room for until then."""
    moment, dropped = 0.0, 0
    for _, kind, data in found:
        if kind == SO_TIMESTAMPNS:
            seconds, nanoseconds = TIMESPEC.unpack(data[: TIMESPEC.size])
            moment = seconds + nanoseconds / 1e9
        elif kind == SO_RXQ_OVFL:
            dropped = COUNT.unpack(data[: COUNT.size])[0]
    return moment or time.time(), dropped


class Sink:
    """Takes what comes, and tells of each stream when it has ended."""

    def __init__(self, receiving: socket.socket) -> None:
        self._receiving = receiving
        self._streams: dict[int, Stream] = {}
        self._ended: set[int] = set()
        self._dropped = 0
        receiving.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        receiving.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
        receiving.settimeout(IDLE_S / 4)

    def run(self) -> None:
        """Do so for ever."""
        while True:
            try:
                packet, ancillary, _, _ = self._receiving.recvmsg(65536, 256)
            except OSError:  # nothing has come for a while
                for name, stream in list(self._streams.items()):
                    if time.monotonic() - stream.last > IDLE_S:
                        self._finish(name)
                continue
            if len(packet) >= HEADER.size:
                self._take(packet, *read_ancillary(ancillary))

    def _take(self, packet: bytes, moment: float, dropped: int) -> None:
        name, number, is_last = HEADER.unpack_from(packet)
        if name in self._ended:
            return
        stream = self._streams.setdefault(name, Stream())
        stream.last = time.monotonic()
        stream.dropped += max(0, dropped - self._dropped)
        self._dropped = max(self._dropped, dropped)
        if is_last:
            self._finish(name)
        elif number not in stream.numbers:
            stream.numbers.add(number)
            stream.times.append(moment)
            stream.sizes.append(len(packet))

    def _finish(self, name: int) -> None:
        stream = self._streams.pop(name)
        self._ended.add(name)
        received, rate = len(stream.numbers), stream.rate_bit_s()
        tell(stream=name, received=received, dropped=stream.dropped, rate_bit_s=rate)


def reflect(receiving: socket.socket) -> None:
    """Send back what comes."""
    while True:
        packet, sender = receiving.recvfrom(65536)
        receiving.sendto(packet, sender)


def accept(listening: socket.socket) -> None:
    """Take each connection in turn, for as long as it asks for."""
    while True:
        connection, _ = listening.accept()
        with connection:
            take(connection)


def take(connection: socket.socket) -> None:
    """Take what one connection sends, and tell how fast that was."""
    connection.settimeout(CONNECT_TIMEOUT_S)
    try:
        header = connection.recv(TCP_HEADER.size, socket.MSG_WAITALL)
        if len(header) < TCP_HEADER.size:
            return
        name, seconds = TCP_HEADER.unpack(header)
        began, received = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            chunk = connection.recv(1 << 18)
            if not chunk:
                break
            received += len(chunk)
    except OSError:  # the other end is gone, or nothing comes through
        return
    tell(stream=name, rate_bit_s=received * 8 / max(time.perf_counter() - began, 1e-9))


def serve(address: str, life_s: str) -> None:
    """Answer for a time: round trips, packets, connections."""
    echo, counted = (make_socket(socket.SOCK_DGRAM, address) for _ in range(2))
    listening = make_socket(socket.SOCK_STREAM, address)
    for one in (echo, counted, listening):
        one.bind((address, 0))
    listening.listen(16)
    threading.Thread(target=reflect, args=(echo,), daemon=True).start()
    threading.Thread(target=Sink(counted).run, daemon=True).start()
    threading.Thread(target=accept, args=(listening,), daemon=True).start()
    echo_port, sink_port, tcp_port = (one.getsockname()[1] for one in (echo, counted, listening))
    tell(echo=echo_port, sink=sink_port, tcp=tcp_port)
    time.sleep(float(life_s))


def ask(address: str, port: str, packets: str, interval_s: str, wait_s: str) -> None:
    """Ask for packets back, and tell how long each took."""
    asking, count = make_socket(socket.SOCK_DGRAM, address), int(packets)
    asking.connect((address, int(port)))
    sent: dict[int, float] = {}
    times: list[float] = []
    began = time.perf_counter()
    deadline = began + count * float(interval_s) + float(wait_s)
    while len(times) < count and time.perf_counter() < deadline:
        due = began + len(sent) * float(interval_s)
        if len(sent) < count and time.perf_counter() >= due:
            number = len(sent)
            sent[number] = time.perf_counter()
            asking.send(HEADER.pack(0, number, 0))
            continue
        until = due if len(sent) < count else deadline
        readable, _, _ = select.select([asking], [], [], max(0.0, until - time.perf_counter()))
        if readable:
            moment = time.perf_counter()
            number = HEADER.unpack_from(asking.recv(65536))[1]
            times.append(moment - sent[number])
    tell(sent=len(sent), times_s=times)


def has_room(sending: socket.socket, packet: bytes) -> bool:
    """Send a packet, if so much does not wait already here that a slow link has no room for it."""
    try:
        sending.send(packet, socket.MSG_DONTWAIT)
    except OSError:
        return False
    return True


def send(
    address: str, port: str, stream: str, packets: str, payload_bytes: str, packets_per_s: str, seconds: str
) -> None:
    """Send packets at a pace, until there were so many or the time is over."""
    sending, count, rate = make_socket(socket.SOCK_DGRAM, address), int(packets), float(packets_per_s)
    sending.connect((address, int(port)))
    rest = bytes(max(0, int(payload_bytes) - HEADER.size))
    name, number = int(stream), 0
    began = due = time.perf_counter()
    while number < count and time.perf_counter() - began < float(seconds):
        now = time.perf_counter()
        if now < due:
            time.sleep(max(TICK_S, due - now))
            continue
        due = max(due, now - LATE_S)  # what is late is not sent in a burst: queues would drop it
        if not has_room(sending, HEADER.pack(name, number, 0) + rest):
            time.sleep(TICK_S)
            continue
        number += 1
        due += 1 / rate
    took = time.perf_counter() - began
    for _ in range(ENDS):
        time.sleep(END_INTERVAL_S)
        has_room(sending, HEADER.pack(name, 0, 1))
    tell(sent=number, took_s=took)


def connect(address: str, port: str, stream: str, seconds: str, buffer_bytes: str) -> None:
    """Send for a time over a connection."""
    sending = make_socket(socket.SOCK_STREAM, address)
    sending.settimeout(CONNECT_TIMEOUT_S)
    if 0 < int(buffer_bytes) < USUAL_BUFFER_BYTES:  # a larger one is held to that, left alone it grows
        sending.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, int(buffer_bytes))
    block, is_connected = bytes(1 << 16), False
    try:
        sending.connect((address, int(port)))
        is_connected = True
        sending.sendall(TCP_HEADER.pack(int(stream), float(seconds)))
        while True:
            sending.sendall(block)
    except OSError:  # the other end has measured for long enough, or cannot be reached
        tell(is_connected=is_connected)


if __name__ == "__main__":
    works: dict[str, Callable[..., None]] = {"serve": serve, "echo": ask, "send": send, "tcp": connect}
    works[sys.argv[1]](*sys.argv[2:])
