"""The network of local hosts in namespaces, as the process that deploys them has it."""

from __future__ import annotations

import itertools
import json
import logging
import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optiprov.deploy.network.addresses import MAX_HOSTS, address4, address6, bridge_port
from optiprov.deploy.network.keeper import ENDPOINTS, LINKS, STATE
from optiprov.deploy.providers.isolation import namespace_commands
from optiprov.deploy.remote.ports import FIRST_PORT
from optiprov.deploy.watchdog import end_processes, start_time
from optiprov.errors import DeploymentError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from optiprov.deploy.journal import Journal
    from optiprov.deploy.network.endpoints import Endpoint

logger = logging.getLogger(__name__)

_outliving: list[subprocess.Popen[bytes]] = []
"""Processes that go on after their deployment here: Python warns of those that nobody has any more."""

NETWORK_VARIABLE = "OPTIPROV_NETWORK_OF"
NETWORK_DIR = "network"
_PACKAGE_ROOT = Path(__file__).resolve().parents[3]
_READY_TIMEOUT_S = 120.0
_LOOK_S = 0.005
_PROBE = "link add name a type veth peer name b\nlink add name s type bridge\nlink set dev a master s\n"
_PROBE_TIMEOUT_S = 10.0
GOING_ON_WITHOUT = (
    "Run as root, or allow unprivileged user namespaces, with util-linux and iproute2 installed. Or write "
    "`isolation: files` for the testbed local in layers_services.yaml: its hosts then share the network of "
    "this machine, and rules of network.yaml cannot be applied to them."
)


def end_network(deployment_id: str) -> None:
    """End what keeps the network of a deployment's hosts, and so the network; nothing where there is none."""
    end_processes((f"{NETWORK_VARIABLE}={deployment_id}",), set())
    _outliving[:] = [process for process in _outliving if process.poll() is None]


@lru_cache(maxsize=1)
def network_obstacle() -> str | None:
    """Why hosts cannot have network namespaces on this machine, None if they can. Probed once a process."""
    commands = namespace_commands()
    if commands is None:
        return "this machine gives no namespaces, neither to root nor to users"
    missing = [name for name in ("ip", "nsenter") if shutil.which(name, path=_path()) is None]
    if missing:
        return f"{' and '.join(missing)} not found"
    by_user = ["--user", "--map-root-user"] if "--user" in commands[0] else []
    probe = [commands[0][0], *by_user, "--net", "--", "ip", "-batch", "-"]
    try:
        done = subprocess.run(
            probe,
            input=_PROBE,
            capture_output=True,
            text=True,
            timeout=_PROBE_TIMEOUT_S,
            check=False,
            env={**os.environ, "PATH": _path()},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if done.returncode == 0 else " ".join(done.stderr.split()) or f"exit status {done.returncode}"


class HostNetwork:
    """A switch and hosts connected to it, each a network namespace, kept by a process of their own.

    The process outlives this one where the deployment does. Another process that works on the deployment
    finds it by its state in the deployment's directory; where it has ended, the network is made again.
    Used by one thread at a time, but for `enter` and `require_standing`.

    Attributes:
        directory: Where the process has its files.
        numbers: The number of each host.
        service_port: The port of each host's service, which nothing that is relayed has; after `provide`.

    Args:
        deployment_id: The deployment's id.
        directory: The deployment's directory.
        journal: Where the process is written before it is started.
        numbers: The number of each host, from 1, by its id: it gives the host its addresses.
    """

    def __init__(
        self, deployment_id: str, directory: Path, journal: Journal, numbers: Mapping[str, int]
    ) -> None:
        self.directory = directory / NETWORK_DIR
        self.numbers = dict(numbers)
        self._id = deployment_id
        self._journal = journal
        self._process: subprocess.Popen[bytes] | None = None
        self._state: dict[str, Any] = {}
        self.service_port = FIRST_PORT

    def provide(self, endpoints: Sequence[Endpoint], watch: Callable[[int], None]) -> None:
        """Have the network stand: as it is, or made anew.

        Args:
            endpoints: What listens on this machine and hosts reach at the same address and port.
            watch: Called with the session of the process before it makes anything.

        Raises:
            DeploymentError: It cannot be made.
        """
        if max(self.numbers.values()) > MAX_HOSTS:
            raise DeploymentError(
                f"{len(self.numbers)} hosts with addresses of their own, and a machine can have {MAX_HOSTS}. "
                "Deploy fewer hosts, or write `isolation: files` for the testbed local."
            )
        relayed = {port for _, port in endpoints}
        self.service_port = next(port for port in itertools.count(FIRST_PORT) if port not in relayed)
        self.directory.mkdir(parents=True, exist_ok=True)
        _write(self.directory / ENDPOINTS, {"endpoints": [list(endpoint) for endpoint in endpoints]})
        self._state = self._read_state()
        if self._stands() and len(self._state["descriptors"]) > max(self.numbers.values()):
            watch(self._state["pid"])
            if self._state["relay"].get("file") != _read(self.directory / ENDPOINTS):
                self.refresh(lambda state: state["relay"].get("file") == _read(self.directory / ENDPOINTS))
        else:
            end_network(self._id)
            self._start(watch)

    def visit(self) -> None:
        """Take the network as it stands, and leave it so.

        Raises:
            DeploymentError: It is gone.
        """
        self._state = self._read_state()
        self.require_standing()

    def address4(self, host_id: str) -> str:
        """The IPv4 address of a host."""
        return address4(self.numbers[host_id])

    def address6(self, host_id: str) -> str:
        """The IPv6 address of a host."""
        return address6(self.numbers[host_id])

    def counters(self, host_id: str) -> tuple[str, str]:
        """A file like /proc/net/dev, and the interface in it that a host's is connected to."""
        keeper, thread = self._state["pid"], self._state["switch_thread"]
        return f"/proc/{keeper}/task/{thread}/net/dev", bridge_port(self.numbers[host_id])

    def enter(self, host_id: str) -> list[str]:
        """What goes before a command to run it in the namespace of a host, allowed to change the network.

        Raises:
            DeploymentError: The network is gone.
        """
        return self._enter(self.numbers[host_id])

    def enter_switch(self) -> list[str]:
        """What goes before a command to run it in the namespace of the switch, allowed to change it.

        Raises:
            DeploymentError: The network is gone.
        """
        return self._enter(0)

    def require_standing(self) -> None:
        """Refuse to go on where the network is gone.

        Raises:
            DeploymentError: What kept it has ended.
        """
        if not self._stands():
            raise DeploymentError(
                f"the network of the hosts is gone: the process that kept it ({self._state.get('pid')}) has "
                f"ended. What it said is in {self.directory / 'keeper.log'}. Begin the step again: the "
                "network is then made anew, with the same addresses; what runs from before is not connected."
            )

    def refresh(self, holds: Callable[[Mapping[str, Any]], bool]) -> None:
        """Have the process look at its files, and wait until its state is as it should be.

        Raises:
            DeploymentError: It is gone, or does not come to be so.
        """
        self.require_standing()
        os.kill(self._state["pid"], signal.SIGHUP)
        deadline = time.monotonic() + _READY_TIMEOUT_S
        while not holds(state := self._read_state()):
            if time.monotonic() > deadline:
                raise DeploymentError(
                    f"the network of the hosts does not come to be as {self.directory} asks for. What was "
                    f"said is in {self.directory / 'keeper.log'}."
                )
            self.require_standing()
            time.sleep(_LOOK_S)
        self._state = state

    def emulate(self, links: Sequence[Sequence[float | None]], *, seed: int | None = None) -> None:
        """Have exactly these links emulated by a process; told is if it had to be started again since.

        Args:
            links: Of each the numbers of its hosts, delay (s), rate (bit/s), share of loss.
            seed: Has the same packets of a sequence lost; None for others each time.

        Raises:
            DeploymentError: They cannot be.
        """
        path = self.directory / LINKS
        if not links and not path.exists():
            return
        _write(path, {"links": [list(link) for link in links], "seed": seed})
        asked = _read(path)
        before = self._state["emulator"].get("starts", 1)
        self.refresh(lambda state: _works_by(state["emulator"], asked))
        if self._state["emulator"]["starts"] > before:
            logger.warning(
                "the process that emulates links had ended, and was started again: what hosts sent over "
                "links meanwhile was lost. What it said is in %s",
                self.directory / "keeper.log",
            )

    def detach(self) -> None:
        """Let go of the network, which stays."""
        if self._process is not None:
            _outliving.append(self._process)
            self._process = None

    def end(self) -> None:
        """End the network; the log of it stays if it says anything."""
        end_network(self._id)
        if self._process is not None:
            self._process.wait()
            self._process = None
        remove_network_directory(self.directory)

    def _start(self, watch: Callable[[int], None]) -> None:
        commands = namespace_commands()
        if commands is None:
            raise DeploymentError(f"hosts cannot have a network of their own here. {GOING_ON_WITHOUT}")
        by_user = [commands[0][0], "--user", "--map-root-user", "--"] if "--user" in commands[0] else []
        count = max(self.numbers.values())
        self._journal.write("network", hosts=count)
        with (self.directory / "keeper.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(*by_user, sys.executable, "-S", "-m", "optiprov.deploy.network.keeper"),
                    *(str(self.directory), str(count)),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd="/",
                env={
                    "PATH": _path(),
                    "LANG": "C.UTF-8",
                    "PYTHONPATH": str(_PACKAGE_ROOT),
                    NETWORK_VARIABLE: self._id,
                },
                start_new_session=True,
            )
        watch(self._process.pid)
        line = self._first_line(self._process)
        if "hosts" not in line:
            end_network(self._id)
            raise DeploymentError(
                f"hosts cannot have a network of their own here: {line.get('error') or 'it was not made'} "
                f"({self.directory / 'keeper.log'}). {GOING_ON_WITHOUT}"
            )
        self._state = self._read_state()

    def _first_line(self, process: subprocess.Popen[bytes]) -> dict[str, Any]:
        """What the process says when the network stands; it goes on then whatever becomes of this one."""
        assert process.stdin is not None  # noqa: S101  both are pipes
        assert process.stdout is not None  # noqa: S101
        with process.stdin, process.stdout, selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            line = process.stdout.readline() if selector.select(_READY_TIMEOUT_S) else b""
            if line:
                process.stdin.write(b"keep\n")
        try:
            said = json.loads(line)
        except ValueError:
            return {}
        return said if isinstance(said, dict) else {}

    def _enter(self, index: int) -> list[str]:
        self.require_standing()
        keeper = f"/proc/{self._state['pid']}"
        commands = namespace_commands()
        by_user = commands is not None and "--user" in commands[0]
        return [
            *("nsenter", "--preserve-credentials", *([f"--user={keeper}/ns/user"] if by_user else [])),
            *(f"--net={keeper}/fd/{self._state['descriptors'][index]}", "--"),
        ]

    def _stands(self) -> bool:
        return bool(self._state) and start_time(self._state["pid"]) == self._state["start"]

    def _read_state(self) -> dict[str, Any]:
        return _read(self.directory / STATE)


def remove_network_directory(directory: Path) -> None:
    """Remove what belonged to a network that has ended, but a log that says anything."""
    for name in (STATE, ENDPOINTS, LINKS):
        (directory / name).unlink(missing_ok=True)
    log = directory / "keeper.log"
    if log.exists() and not log.stat().st_size:
        log.unlink()
    if directory.is_dir() and not any(directory.iterdir()):
        directory.rmdir()


def _path() -> str:
    """Where commands are looked for: users often lack the directories of `ip`."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


def _write(path: Path, content: Any) -> None:
    unfinished = path.with_name(f".{path.name}.part")
    unfinished.write_text(json.dumps(content), encoding="utf-8")
    unfinished.replace(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _works_by(child: Mapping[str, Any], file: Mapping[str, Any]) -> bool:
    return child.get("file") == file and start_time(child["pid"]) is not None
