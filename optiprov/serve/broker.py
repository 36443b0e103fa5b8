"""The embedded MQTT broker: rumqttd, in a child process that ends with the service."""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
import socket
import ssl
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from iotcore import Broker

from optiprov.errors import WorkError
from optiprov.wire import BrokerAddress

if TYPE_CHECKING:
    from optiprov.serve.credentials import BrokerUser, Certificate

_PREFIX = "optiprov-broker-"
_LOCK_NAME = "lock"
_MAX_PAYLOAD_BYTES = 64 << 20
_MAX_INFLIGHT = 200
_ATTEMPTS = 5
_READY_TIMEOUT_S = 0.2
_CONFIGURATION = """
id = 0
[router]
id = 0
max_connections = 10000
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10
[v4.1]
name = "optiprov"
listen = {listen}
next_connection_delay_ms = 1
[v4.1.connections]
connection_timeout_ms = 10000
max_payload_size = {max_payload_bytes}
max_inflight_count = {max_inflight}
dynamic_filters = true
"""


class _Broker(Broker):
    """Iotcore's, which takes the brackets of an IPv6 address for a part of it and so never sees it listen."""

    @staticmethod
    def _listener_ready(addr: str) -> bool:
        host, _, port = addr.rpartition(":")
        host = {"0.0.0.0": "127.0.0.1", "[::]": "::1"}.get(host, host.strip("[]"))  # noqa: S104 - compared
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), _READY_TIMEOUT_S):
            return True
        return False


class EmbeddedBroker:
    """A broker of the service's own.

    Args:
        host: the address it listens on.
        port: its port; 0 picks a free one.
        users: who may connect; anybody where there are none.
        certificate: makes it speak TLS.

    Raises:
        WorkError: the port is taken, or the broker does not come up.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        users: list[BrokerUser] | None = None,
        certificate: Certificate | None = None,
    ) -> None:
        self._users = users or []
        self._certificate = certificate
        user = self._users[0] if self._users else None
        # Only this user may enter the directory: the file has the passwords.
        _remove_leftovers()
        self._directory = tempfile.TemporaryDirectory(prefix=_PREFIX)
        self._lock = _lock(Path(self._directory.name))
        try:
            for attempt in range(_ATTEMPTS):
                self.address = BrokerAddress(
                    host,
                    port or free_port(host),
                    user.name if user else None,
                    user.password if user else None,
                    tls=certificate is not None,
                )
                self._broker = _Broker(config_path=str(self._write_configuration()))
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
        except BaseException:
            self._remove_directory()
            raise

    @property
    def tls_context(self) -> ssl.SSLContext | None:
        """What the service itself connects with: it accepts this broker's certificate, whoever it names."""
        if self._certificate is None:
            return None
        context = ssl.create_default_context(cafile=self._certificate.chain)
        context.check_hostname = False  # the certificate names what others call this machine
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return context

    def _write_configuration(self) -> Path:
        host, port = self.address.host, self.address.port
        listen = f"[{host}]:{port}" if ":" in host else f"{_address(host)}:{port}"
        text = _CONFIGURATION.format(
            listen=_quoted(listen), max_payload_bytes=_MAX_PAYLOAD_BYTES, max_inflight=_MAX_INFLIGHT
        )
        if self._users:
            text += "[v4.1.connections.auth]\n"
            text += "".join(f"{_quoted(one.name)} = {_quoted(one.password)}\n" for one in self._users)
        if self._certificate is not None:
            text += f"[v4.1.tls]\ncertpath = {_quoted(str(self._certificate.chain))}\n"
            text += f"keypath = {_quoted(str(self._certificate.key))}\n"
        path = Path(self._directory.name) / "broker.toml"
        path.write_text(text, encoding="utf-8")
        return path

    def is_running(self) -> bool:
        """Return whether the broker's process is alive."""
        return bool(self._broker.is_running)

    def restart(self) -> None:
        """Start the broker again on the same port after its process has died."""
        self._broker.start()

    def stop(self) -> None:
        """Stop the broker."""
        self._broker.stop()
        self._remove_directory()

    def _remove_directory(self) -> None:
        self._directory.cleanup()
        self._lock.close()


def _lock(directory: Path) -> BinaryIO:
    """Lock a directory as one in use; the kernel lets go of it when this process has ended."""
    unlocked = directory / f".{_LOCK_NAME}"
    file = unlocked.open("wb")
    fcntl.flock(file, fcntl.LOCK_EX)
    unlocked.replace(directory / _LOCK_NAME)
    return file


def _remove_leftovers() -> None:
    """Remove the directories of services that were killed: those whose lock nobody holds."""
    for directory in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError), (directory / _LOCK_NAME).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(directory, ignore_errors=True)


def _quoted(text: str) -> str:
    """Write a TOML string: JSON's are the same, but for a DEL, which no name or password may have."""
    return json.dumps(text, ensure_ascii=False)


def _address(host: str) -> str:
    """Return the address of a name: the broker listens on addresses only."""
    try:
        return str(socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)[0][4][0])
    except OSError as error:
        raise WorkError(
            f"The broker cannot listen on {host!r}: {error.strerror}. Give --host an address."
        ) from error


def free_port(host: str) -> int:
    """Return a TCP port that nothing listens on at this moment."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
