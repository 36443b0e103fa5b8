"""The embedded MQTT broker: rumqttd, in a child process that ends with the service."""

from __future__ import annotations

import socket
import time

from iotcore import Broker

from optiprov.errors import WorkError
from optiprov.wire import BrokerAddress

_MAX_PAYLOAD_BYTES = 64 << 20
_MAX_INFLIGHT = 200
_ATTEMPTS = 5


class EmbeddedBroker:
    """A broker of the service's own.

    Args:
        host: the address it listens on.
        port: its port; 0 picks a free one.

    Raises:
        WorkError: the port is taken, or the broker does not come up.
    """

    def __init__(self, host: str, port: int) -> None:
        for attempt in range(_ATTEMPTS):
            self.address = BrokerAddress(host, port or free_port(host))
            self._broker = Broker(
                port=self.address.port,
                listen=host,
                max_payload_size=_MAX_PAYLOAD_BYTES,
                max_inflight_count=_MAX_INFLIGHT,
            )
            try:
                self._broker.start()
            except (OSError, RuntimeError) as error:
                if port or attempt == _ATTEMPTS - 1:
                    raise WorkError(
                        f"The broker does not start on {self.address.url}: {error}. "
                        "Give another --mqtt-port; 0 picks a free one."
                    ) from error
                time.sleep(0.05 * (attempt + 1))  # another process took the free port first
                continue
            return

    def is_running(self) -> bool:
        """Return whether the broker's process is alive."""
        return bool(self._broker.is_running)

    def restart(self) -> None:
        """Start the broker again on the same port after its process has died."""
        self._broker.start()

    def stop(self) -> None:
        """Stop the broker."""
        self._broker.stop()


def free_port(host: str) -> int:
    """Return a TCP port that nothing listens on at this moment."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
