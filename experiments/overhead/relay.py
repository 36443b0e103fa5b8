"""A relay between a client and its broker that counts what passes."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK_BYTES = 1 << 16


class Relay:
    """Passes TCP connections on to an address, and counts the bytes of each direction.

    Attributes:
        port: where it listens, on 127.0.0.1.
        sent_bytes: what clients have sent so far.
        received_bytes: what clients have received so far.
    """

    def __init__(self, host: str, port: int) -> None:
        self.sent_bytes = 0
        self.received_bytes = 0
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                broker = socket.create_connection(self._target)
                for one in (client, broker):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for source, target in ((client, broker), (broker, client)):
                    is_sent = source is client
                    threading.Thread(target=self._pass, args=(source, target, is_sent), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, is_sent: bool) -> None:  # noqa: FBT001
        with suppress(OSError):  # one side has gone
            while data := source.recv(_CHUNK_BYTES):
                target.sendall(data)
                if is_sent:
                    self.sent_bytes += len(data)
                else:
                    self.received_bytes += len(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)


@contextmanager
def counting_relay(host: str, port: int) -> Iterator[Relay]:
    """Start a relay to an address."""
    relay = Relay(host, port)
    try:
        yield relay
    finally:
        relay.close()
