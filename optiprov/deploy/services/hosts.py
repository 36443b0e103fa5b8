"""A host, as the class of its service sees it."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from optiprov.deploy.services.processes import HostWork, Options, Ran, Running, require_success
from optiprov.errors import DeploymentError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optiprov.deploy.providers.base import Host
    from optiprov.deploy.workbench import Workbench

RUN_TIMEOUT_S = 600.0
PORT_TIMEOUT_S = 60.0
_CONNECT = (
    'if command -v bash >/dev/null; then until bash -c "exec 3<>/dev/tcp/$0/$1" 2>/dev/null; do sleep 0.05; '
    'done; else until python3 -c \'import socket, sys; socket.create_connection(sys.argv[1:])\' "$0" "$1" '
    "2>/dev/null; do sleep 0.2; done; fi"
)
_NOT_LOOPBACK = (
    ". What listens at 127.0.0.1 is not reached by other hosts: have it listen at this address, or at all of "
    "the host's."
)


class ServiceHost:
    """One host of a service. It is no host of EnOSlib: what is done there is done by its own methods.

    Attributes:
        id: Its id, such as `cloud.broker.1.1`.
        alias: The same, as EnOSlib calls it.
        address: How other hosts reach it.
        address6: Its IPv6 address, None if it has none.
        gateway: The machine through which others reach it, None if they reach it directly.
        port: A TCP port that is free on it.
        working_dir: Where its commands run, and where relative destinations lie.
        env: The service's variables, which its processes have.
        extra: For what the class wants to keep.

    Args:
        host: The host.
        work: What does things there.
        env: The service's variables.
    """

    def __init__(self, host: Host, work: HostWork, env: Mapping[str, str]) -> None:
        self.id = self.alias = host.id
        self.address = host.address
        self.address6 = host.address6
        self.gateway = host.gateway
        self.port = host.port
        self.working_dir = host.working_dir
        self.env = dict(env)
        self.extra: dict[str, Any] = {"gateway": host.gateway} if host.gateway else {}
        self._host = host
        self._work = work
        self._running: list[Running] = []

    def __repr__(self) -> str:
        return f"ServiceHost({self.id}, {self.address})"

    @property
    def machine_id(self) -> int:
        """Its number among the hosts of the service, from 1."""
        return self._host.placement.machine_id

    @property
    def running(self) -> list[Running]:
        """What the service has started here."""
        return list(self._running)

    def run(
        self,
        command: str | Sequence[str],
        *,
        name: str | None = None,
        env: Mapping[str, object] | None = None,
        chdir: str | None = None,
        timeout_s: float | None = RUN_TIMEOUT_S,
        check: bool = True,
    ) -> Ran:
        """Run a command to its end.

        Args:
            command: A line for the host's shell, or a program and its arguments.
            name: What its logs are called; by default the program.
            env: Variables beside the service's.
            chdir: Its directory, by default the working directory.
            timeout_s: How long it may take; None is without limit.
            check: Whether a status other than 0 is an error.

        Raises:
            DeploymentError: It failed, or took too long.
        """
        ran = self._work.run(command, name, timeout_s, Options(env, chdir))
        if check:
            require_success(ran)
        return ran

    def start(
        self,
        command: str | Sequence[str],
        *,
        name: str | None = None,
        env: Mapping[str, object] | None = None,
        chdir: str | None = None,
    ) -> Running:
        """Start a process that goes on until the experiment is finalized; arguments as of `run`."""
        running = self._work.start(command, name, Options(env, chdir))
        self._running.append(running)
        return running

    def stop(self, name: str | None = None) -> None:
        """End what `start` has started here: all of it, or what has a name."""
        for running in self.running:
            if name in (None, running.name):
                running.stop()
                self._running.remove(running)

    def copy(self, src: str, dest: str, *, mode: int | None = None) -> None:
        """Copy a file or directory of the artifacts or the scenario.

        Args:
            src: Where it lies; of a directory the content alone, if it ends with `/`.
            dest: Where it goes on the host; a directory if it ends with `/`.
            mode: The permissions of a file, by default its own.

        Raises:
            DeploymentError: There is no such file, or the host refuses it.
        """
        source = self._work.source(src)
        try:
            if source.is_dir():
                self._host.put_directory(source, dest, content_only=src.endswith("/"))
            else:
                mode = source.stat().st_mode & 0o777 if mode is None else mode
                self._host.write(source, dest, name=source.name, mode=mode)
        except OSError as error:
            raise DeploymentError(
                f"{src!r} cannot be copied to {dest!r} on host {self.id}: {error}"
            ) from None
        self._work.log(f"copied {src!r} to {dest!r}")

    def write(self, text: str, dest: str, *, mode: int | None = None) -> None:
        """Write a text into a file.

        Raises:
            DeploymentError: The host refuses it.
        """
        try:
            self._host.write(text.encode(), dest, name="", mode=mode)
        except OSError as error:
            raise DeploymentError(f"{dest!r} cannot be written on host {self.id}: {error}") from None
        self._work.log(f"wrote {dest!r}")

    def read_source(self, src: str) -> str:
        """The text of a file of the artifacts or the scenario.

        Raises:
            DeploymentError: There is no such file.
        """
        return self._work.source(src).read_text(encoding="utf-8")

    def wait_for_port(self, port: int | None = None, *, timeout_s: float = PORT_TIMEOUT_S) -> None:
        """Wait until something listens at a port of the host's address, asked from the host itself.

        Args:
            port: The port, by default the host's own.
            timeout_s: How long to wait.

        Raises:
            DeploymentError: Nothing does in time, or what the service has started here has failed.
        """
        port = self.port if port is None else port
        command = [self._host.shell, "-c", _CONNECT, self.address, str(port)]
        if not self._wait(command, timeout_s, f"port {port}"):
            is_apart = not ipaddress.ip_address(self.address).is_loopback
            raise DeploymentError(
                f"nothing listens at {self.address}:{port} of host {self.id} after {timeout_s:g} s"
                + (_NOT_LOOPBACK if is_apart else "")
            )

    def wait_until(self, condition: str, what: str, *, timeout_s: float = PORT_TIMEOUT_S) -> None:
        """Wait until a command of the host's shell succeeds, which is tried again and again.

        Args:
            condition: The command.
            what: What it stands for, to be told where it does not come about.
            timeout_s: How long to wait.

        Raises:
            DeploymentError: It does not succeed in time, or what the service has started here has failed.
        """
        command = [self._host.shell, "-c", f"until {condition}; do sleep 0.05; done"]
        if not self._wait(command, timeout_s, what):
            raise DeploymentError(f"{what}: it is not so on host {self.id} after {timeout_s:g} s.")

    def _wait(self, command: Sequence[str], timeout_s: float, what: str) -> bool:
        """Wait for a command to succeed; whether it has, if nothing that was started here has failed."""
        is_so = self._work.wait(command, timeout_s, lambda: not any(one.has_failed for one in self._running))
        failed = next((one for one in self._running if one.has_failed), None)
        if failed is not None:
            raise DeploymentError(f"{failed.name} on host {self.id}, {what}: {failed.last_words()}")
        return is_so


def make_host(host: Host, workbench: Workbench, env: Mapping[str, str]) -> ServiceHost:
    """A host with what does things there."""
    from optiprov.deploy.attempts import HOST_VARIABLE

    return ServiceHost(host, HostWork(host, workbench, {**env, HOST_VARIABLE: host.id}), env)
