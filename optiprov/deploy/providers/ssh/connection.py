"""The connection to a machine: made once, shared by all that is done there, made again when it was lost."""

from __future__ import annotations

import os
import random
import re
import shlex
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from optiprov.deploy.providers.ssh.bootstrap import READY, serving_command, serving_input
from optiprov.deploy.providers.ssh.channel import Answer, Channel
from optiprov.deploy.providers.ssh.control import control_path, remove_control_path
from optiprov.deploy.providers.ssh.failures import describe_failure
from optiprov.deploy.remote.frames import read_frame
from optiprov.deploy.watchdog import end_processes
from optiprov.errors import HostUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from concurrent.futures import Future
    from typing import IO

    from optiprov.deploy.providers.ssh.machine import Machine

CONNECTION_VARIABLE = "OPTIPROV_SSH_OF"
"""Marks the processes that hold the connections of a deployment, by its name."""

IDLE_S = 10
_BEGIN_TIMEOUT_S = 90.0
"""How long a machine may take from the login on until it serves; a slow one takes some ten seconds."""

_EXIT_TIMEOUT_S = 5.0
_FORWARD_TIMEOUT_S = 20.0
_MOST_NOISE_LINES = 1000
_PAUSES_S = (0.2, 0.4, 0.8, 1.6, 3.2)
_TURNED_AWAY = re.compile(
    r"kex_exchange_identification|banner exchange: .*(reset|closed)|Connection reset by"
)


class Connection:
    """The connection of one deployment to one machine. Safe to use from several threads.

    It is made when it is needed, with OpenSSH's own means of sharing one (ControlMaster). Whoever makes it
    starts what serves the machine there, which ends the supervised processes when this process dies.

    Args:
        machine: The machine.
        deployment: What names the deployment here and there.
        supervised: What marks the processes that end with this one, `NAME=value`.
        is_kept: Whether it outlives this process, as what was left running needs it.

    Attributes:
        machine: The machine.
        facts: What the machine says of itself: `directory`, `environment`, `python`, `shell`; empty before.
    """

    def __init__(self, machine: Machine, deployment: str, supervised: str, *, is_kept: bool = False) -> None:
        self.machine = machine
        self.facts: dict[str, Any] = {}
        self._deployment = deployment
        self._supervised = supervised
        self._name = f"{deployment} {sorted(machine.as_record().items())}"
        self._socket = control_path(self._name)
        self._persists = "yes" if is_kept else str(IDLE_S)
        self._lock = threading.RLock()
        self._channel: Channel | None = None
        self._forwards: dict[str, str] = {}
        self._is_visit = False

    @property
    def is_open(self) -> bool:
        """Whether it is there, as far as is known."""
        return self._channel is not None and self._channel.is_open

    def open(self) -> None:
        """Have it, made again if it was lost.

        Raises:
            HostUnavailable: The machine cannot be reached; the message says why, and what to do.
        """
        with self._lock:
            if not self.is_open:
                self._channel = self._connect()
                for here, there in self._forwards.items():
                    self._forwards[here] = self._forward(there, here)

    def know(self, facts: Mapping[str, Any]) -> None:
        """Take what the machine said of itself earlier, where it says nothing now."""
        self.facts = self.facts or dict(facts)

    def call(self, name: str, *arguments: Any, payload: bytes = b"") -> Answer:
        """Ask what serves the machine, as `Channel.call` does; the connection is made if it must.

        Raises:
            HostUnavailable: The machine cannot be reached.
            OSError: It refuses; the message has its path.
        """
        return self.begin(name, *arguments, payload=payload).result()

    def begin(self, name: str, *arguments: Any, payload: bytes = b"") -> Future[Answer]:
        """Ask without waiting for the answer, as `Channel.begin` does.

        Raises:
            HostUnavailable: The machine cannot be reached.
        """
        with self._lock:
            self.open()
            channel = self._channel
        assert channel is not None  # noqa: S101  it is open
        return channel.begin(name, *arguments, payload=payload)

    def reach_back(self, address: str) -> str:
        """Have an address of this machine reached from the other, and return by which address there.

        The same one where it is free there, else one on another port; again so when the connection was lost.

        Args:
            address: `host:port`.

        Raises:
            HostUnavailable: The machine cannot be reached, or forwards nothing.
        """
        with self._lock:
            if not self._is_visit:
                self.open()
            if address not in self._forwards:
                with suppress(*([HostUnavailable] if self._is_visit else [])):
                    self._forwards[address] = self._forward(address, address)
            return self._forwards.get(address, address)

    def visit(self) -> None:
        """Use it as it stands, and never make it: what runs there by the old one would be ended."""
        self._is_visit = True

    def put(self, content: bytes, path: str) -> None:
        """Write a file there, readable by the user alone, with nothing but an ssh.

        Raises:
            HostUnavailable: That cannot be done; the message says why.
        """
        place, unfinished = shlex.quote(path), f"{shlex.quote(path)}.$$"
        script = f"umask 077 && cat > {unfinished} && mv {unfinished} {place}"
        done = subprocess.run(
            [*self.command(), f"sh -c {shlex.quote(script)}"], input=content, capture_output=True, check=False
        )
        if done.returncode != 0:
            raise HostUnavailable(describe_failure(self.machine, done.stderr.decode(errors="replace")))

    def command(self, *options: str) -> list[str]:
        """What goes before a command to run it on the machine, by this connection.

        Args:
            options: Further options of ssh.
        """
        shared = ("-o", "ControlMaster=no", "-o", "LogLevel=ERROR", "-o", f"ControlPath={self._socket}")
        return self.machine.ssh(*shared, *options)

    def describe_loss(self) -> str:
        """Say that it was lost."""
        return (
            f"{self.machine.shown}: connection lost. What ran there through it is ended; it is connected to "
            "again by the next task or command."
        )

    def let_go(self) -> None:
        """Let what runs there go on; a kept connection stays."""
        with self._lock:
            channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    def close(self) -> None:
        """End it, with what runs through it."""
        self.let_go()
        with suppress(OSError):
            self._control("exit", timeout_s=_EXIT_TIMEOUT_S)
        remove_control_path(self._socket)

    def _connect(self) -> Channel:
        """Connect; again where the other end had too many at once who connected (`MaxStartups` of sshd)."""
        for pause_s in _PAUSES_S:
            try:
                return self._try()
            except HostUnavailable as error:
                if not _TURNED_AWAY.search(str(error)):
                    raise
                time.sleep(pause_s * random.uniform(0.5, 1.5))  # not all at once again
        return self._try()

    def _try(self) -> Channel:
        self._socket = control_path(self._name)  # somebody may have tidied up since
        with tempfile.TemporaryFile() as errors:
            process = self._begin(errors)
            assert process.stdin is not None  # noqa: S101  it is a pipe
            assert process.stdout is not None  # noqa: S101  it is a pipe
            with suppress(BrokenPipeError):
                process.stdin.write(serving_input(self.machine, self._deployment, self._supervised))
                process.stdin.flush()
            with _killed_after(_BEGIN_TIMEOUT_S, process) as is_killed:
                first = read_frame(process.stdout) if _is_ready(process.stdout) else None
            if first is None:
                with suppress(BrokenPipeError), process.stdin, process.stdout:
                    pass
                process.wait()
                if is_killed.is_set():
                    self.close()
                    raise HostUnavailable(
                        f"{self.machine.shown}: it does not begin to serve in {_BEGIN_TIMEOUT_S:g} s. "
                        "See what its shell does at a login, and that its disks answer."
                    )
                errors.seek(0)
                raise HostUnavailable(describe_failure(self.machine, errors.read().decode(errors="replace")))
        self.facts = first[0]["value"]
        return Channel(process, self.describe_loss)

    def _begin(self, errors: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start the ssh that makes the connection, and what serves the machine through it."""
        shared = ("ControlMaster=auto", f"ControlPersist={self._persists}", f"ControlPath={self._socket}")
        options = [part for option in shared for part in ("-o", option)]
        try:
            return subprocess.Popen(
                [*self.machine.ssh(*options), serving_command(self.machine)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, CONNECTION_VARIABLE: self._deployment},
                start_new_session=True,
            )
        except FileNotFoundError:
            raise HostUnavailable(
                f"{self.machine.shown}: it is reached by ssh, which is not here. Install OpenSSH's client."
            ) from None

    def _forward(self, there: str, here: str) -> str:
        """Forward an address there to one here; another port is taken where that one is not free."""
        done = self._control("forward", "-R", f"{there}:{here}", timeout_s=_FORWARD_TIMEOUT_S)
        if done.returncode == 0:
            return there
        host = there.rpartition(":")[0]
        done = self._control("forward", "-R", f"{host}:0:{here}", timeout_s=_FORWARD_TIMEOUT_S)
        port = done.stdout.strip()
        if done.returncode != 0 or not port.isdigit():
            raise HostUnavailable(
                f"{self.machine.shown}: it forwards no port back to this machine: {done.stderr.strip()}. "
                "Allow it there (AllowTcpForwarding in sshd_config), or have this machine reached by its "
                "addresses (`reach: direct`)."
            )
        return f"{host}:{port}"

    def _control(self, order: str, *arguments: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
        command = self.machine.ssh("-o", f"ControlPath={self._socket}", "-O", order, *arguments)
        try:
            return subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, 1, "", f"no answer within {timeout_s:g} s")


def end_connections(deployment: str) -> None:
    """End what holds the connections of a deployment, whoever made them."""
    end_processes((f"{CONNECTION_VARIABLE}={deployment}",), set())


def open_all(connections: Sequence[Connection]) -> Mapping[Connection, HostUnavailable | None]:
    """Open connections side by side; what went wrong with each."""
    from concurrent.futures import ThreadPoolExecutor

    def opened(connection: Connection) -> HostUnavailable | None:
        try:
            connection.open()
        except HostUnavailable as error:
            return error
        return None

    with ThreadPoolExecutor(max(len(connections), 1)) as pool:
        return dict(zip(connections, pool.map(opened, connections), strict=True))


@contextmanager
def _killed_after(timeout_s: float, process: subprocess.Popen[bytes]) -> Iterator[threading.Event]:
    """Kill a process that something waits for, should that take too long; whether that was done."""
    is_killed = threading.Event()

    def kill() -> None:
        is_killed.set()
        process.kill()

    timer = threading.Timer(timeout_s, kill)
    timer.daemon = True
    timer.start()
    try:
        yield is_killed
    finally:
        timer.cancel()
        timer.join()


def _is_ready(stream: IO[bytes]) -> bool:
    """Read what a shell's own files print, up to the line before the first frame; whether that comes."""
    for _ in range(_MOST_NOISE_LINES):
        line = stream.readline()
        if line.endswith(READY):
            return True
        if not line:
            return False
    return False
