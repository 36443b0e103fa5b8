"""Ports of this machine that are passed on to what a host reaches, while a shell is open there."""

from __future__ import annotations

import ipaddress
import re
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from optiprov.deploy.frozen import frozen
from optiprov.deploy.remote import connecting
from optiprov.errors import DeploymentError, InputError

if TYPE_CHECKING:
    from typing_extensions import Self

    from optiprov.deploy.providers.base import Host

LOOPBACK = "127.0.0.1"
_ADDRESS = r"(\[[0-9A-Fa-f:.%]+\]|[^\[\]:]+)"
_FORM = re.compile(rf"(?:{_ADDRESS}:)?(\d+):{_ADDRESS}:(\d+)")
_HIGHEST_PORT = 65535


@frozen
class PortForward:
    """A port of this machine, and what it is passed on to.

    Attributes:
        bind: The address of this machine at which it is reached.
        port: The port there.
        host: The name or address that the host of the experiment connects to.
        host_port: The port of that.
    """

    bind: str
    port: int
    host: str
    host_port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `[bind:]port:host:hostport`, as ssh's option -L has it.

        Raises:
            InputError: It has another form.

        >>> PortForward.parse("8080:127.0.0.1:80")
        PortForward(bind='127.0.0.1', port=8080, host='127.0.0.1', host_port=80)
        """
        match = _FORM.fullmatch(text)
        ports = [int(port) for port in match.group(2, 4)] if match else []
        if match is None or not all(1 <= port <= _HIGHEST_PORT for port in ports):
            raise InputError(
                f"-L got {text!r}, expected [bind:]port:host:hostport, such as 8080:127.0.0.1:80."
            )
        bind, host = (match[place] and match[place].strip("[]") for place in (1, 3))
        return cls(bind or LOOPBACK, ports[0], str(host), ports[1])

    @property
    def option(self) -> str:
        """It as ssh's option -L has it, with the one address of this machine that is meant."""
        bind, host = (f"[{one}]" if ":" in one else one for one in (self.bind, self.host))
        return f"{bind}:{self.port}:{host}:{self.host_port}"


def shares_network(host: Host) -> bool:
    """Whether a host has the network of this machine: what listens there listens here."""
    try:
        return ipaddress.ip_address(host.address).is_loopback
    except ValueError:  # the name of another machine
        return False


class PortRelay:
    """Passes connections to a port of this machine on, each by a process on the host, until it is closed.

    Args:
        host: A host of this machine with a network of its own.
        forward: What is passed on.

    Raises:
        DeploymentError: The port of this machine cannot be had.
    """

    def __init__(self, host: Host, forward: PortForward) -> None:
        self._host = host
        self._forward = forward
        family = socket.AF_INET6 if ":" in forward.bind else socket.AF_INET
        try:
            self._listener = socket.create_server((forward.bind, forward.port), family=family)
        except OSError as error:
            raise DeploymentError(
                f"-L: {forward.bind}:{forward.port} of this machine cannot be had: {error.strerror}. "
                "Give another port."
            ) from error
        self._processes: list[subprocess.Popen[bytes]] = []
        self._thread = threading.Thread(target=self._serve, name="optiprov-forward", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no longer, and end what is connected."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._listener.close()
        self._thread.join()
        for process in self._processes:
            process.kill()
            process.wait()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # closed
                return
            self._processes = [process for process in self._processes if process.poll() is None]
            with connection:
                self._processes.append(self._connect(connection))

    def _connect(self, connection: socket.socket) -> subprocess.Popen[bytes]:
        script = [sys.executable, "-S", "-E", "-s", str(Path(connecting.__file__))]
        return subprocess.Popen(
            self._host.enclosed([*script, self._forward.host, str(self._forward.host_port)]),
            stdin=connection.fileno(),
            stdout=connection.fileno(),
            start_new_session=True,  # Ctrl-C is for the command at the terminal
        )
