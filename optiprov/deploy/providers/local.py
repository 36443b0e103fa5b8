"""The testbed `local`: hosts that are directories and processes of this machine."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from optiprov.deploy.ports import PortAllotment
from optiprov.deploy.providers.base import (
    CHECKPOINT_VARIABLE,
    Host,
    HostRequest,
    Provider,
    joined_variables,
)
from optiprov.deploy.providers.isolation import SHELL, Isolation, Mask
from optiprov.deploy.providers.limits import limiting_command
from optiprov.deploy.providers.local_files import LocalFiles
from optiprov.deploy.providers.open_files import allow_hosts
from optiprov.errors import DeploymentError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optiprov.deploy.network.base import NetworkEmulator
    from optiprov.deploy.network.host_network import HostNetwork
    from optiprov.deploy.placement import Placement

CLOSERS = 16
FSTAB = "fstab"
ADDRESS = "127.0.0.1"
ADDRESS6 = "::1"
TMP = Path("/tmp")  # noqa: S108  it is hidden behind a private one
PACKAGE = Path(__file__).resolve().parents[2]


class LocalHost(Host):
    """A directory with `work`, `home`, `tmp` and `spool`, and the processes started there.

    The Python of its tasks finds the capture client where this one has it.

    Args:
        placement: The place in the scenario.
        port: The TCP port of its service.
        directory: The host's directory, which exists.
        isolation: What its processes see of this machine.
        environment: Variables for all of its processes.
        limiting: The command that holds its processes to the host's limits.
        addresses: Its own IPv4 and IPv6 address; None where it shares those of this machine's loopback.
    """

    has_client = True

    def __init__(
        self,
        placement: Placement,
        port: int,
        directory: Path,
        isolation: Isolation,
        environment: Mapping[str, str],
        limiting: Sequence[str] = (),
        addresses: tuple[str, str | None] | None = None,
    ) -> None:
        self.placement = placement
        self.address, self.address6 = addresses or (ADDRESS, _address6())
        self.port = port
        self.working_dir = str(directory / "work")
        self.spool_dir = directory / "spool"
        self.shell = _shell()
        self._home = directory / "home"
        self._isolation = isolation
        self._limiting = list(limiting)
        self.files = LocalFiles(self._absolute, self._outside)
        tmp = str(TMP if isolation.is_private else directory / "tmp")
        self._environment = _environment(self._home, tmp, self.spool_dir, environment)

    def keep_checkpoints(self, directory: Path) -> None:
        """Have its processes leave there what they can go on from."""
        directory.mkdir(exist_ok=True)
        self.checkpoint_dir = str(directory)
        self._environment = {**self._environment, CHECKPOINT_VARIABLE: self.checkpoint_dir}

    def start(
        self,
        argv: Sequence[str],
        *,
        chdir: str | None,
        environment: Mapping[str, str],
        stdout: Path,
        stderr: Path,
    ) -> subprocess.Popen[bytes]:
        """Start a process in the host's namespace, environment and working directory."""
        with stdout.open("ab") as out, stderr.open("ab") as err:
            return subprocess.Popen(
                [*self._limiting, *self._isolation.enter(argv, self._absolute(chdir or "."))],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd="/",
                env=joined_variables(self._environment, environment),
                start_new_session=True,
            )

    def enclosed(self, argv: Sequence[str]) -> list[str]:
        """The command that runs another one in the host's namespace, environment and working directory."""
        environment = [f"{name}={value}" for name, value in self._environment.items()]
        entered = self._isolation.enter(argv, self.working_dir)
        return [*self._limiting, "env", "-i", *environment, *entered]

    def give_client(self, archive: Path) -> None:
        """Copy the client into the home directory, and put it first on the path of Python."""
        place = f"~/.optiprov/{archive.name}"
        self.write(archive, place, name=archive.name, mode=None)
        own = {"PYTHONPATH": self._absolute(place)}
        self._environment = joined_variables(self._environment, own)

    def write(self, source: bytes | Path, dest: str, *, name: str, mode: int | None) -> None:
        """Write a file, making the directories above it; an existing one is replaced as a whole."""
        target = self._outside(dest)
        if dest.endswith("/") or target.is_dir():
            target /= name
        target.parent.mkdir(parents=True, exist_ok=True)
        # A new file, not new content: a program that runs from the old one must not change under it.
        fresh = target.with_name(f".{target.name}.optiprov")
        if isinstance(source, bytes):
            fresh.write_bytes(source)
        else:
            shutil.copyfile(source, fresh)
        if mode is not None:
            fresh.chmod(mode)
        fresh.replace(target)

    def put_directory(self, source: Path, dest: str, *, content_only: bool) -> None:
        """Copy a directory with its permissions."""
        target = self._outside(dest)
        shutil.copytree(source, target if content_only else target / source.name, dirs_exist_ok=True)

    def fetch(self, src: str, target: Path) -> None:
        """Copy a file or directory out of the host's directory."""
        source = self._outside(src)
        if not source.exists():
            raise FileNotFoundError(f"{src} is not on host {self.id}")
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copy2(source, target)

    def _absolute(self, path: str) -> str:
        if path == "~" or path.startswith("~/"):
            return str(self._home) + path[1:]
        return os.path.join(self.working_dir, path)  # noqa: PTH118  keeps a trailing slash

    def _outside(self, path: str) -> Path:
        return self._isolation.outside(self._absolute(path))


class LocalProvider(Provider):
    """Hosts below `<deployment directory>/hosts/`, each with a free TCP port or a network of its own.

    In a mount namespace /tmp and the user's home directory are the host's own; the scenario, its
    artifacts, this Python and what it imports from, the deployment's directory and what
    `environment: local: share` names stay visible wherever they lie.
    """

    def __init__(self) -> None:
        self._ports = PortAllotment()
        self._directories: list[Path] = []
        self._isolations: list[Isolation] = []
        self._network: HostNetwork | None = None
        self._hosts: list[Host] = []
        self._own_files: list[Path] = []

    def deploy(self, placements: Sequence[Placement], request: HostRequest) -> list[Host]:
        """Make a directory for each host, and allot its port or connect its network."""
        allow_hosts(len(placements))
        visible = _visible_directories(request)
        if _may_be_apart(placements, request):
            from optiprov.deploy.providers.apart import network_for

            self._network = network_for(placements, request)
        self._ports = PortAllotment(request.journal.path if request.is_detached else None)
        self._hosts = [self._deploy_one(placement, request, visible) for placement in placements]
        return self._hosts

    def emulator(self) -> NetworkEmulator | None:
        """What emulates links between hosts that have a network of their own; None for others."""
        if self._network is None:
            return None
        from optiprov.deploy.network.choice import choose_emulator

        return choose_emulator(self._network, self._hosts)

    def detach(self) -> None:
        """Let go of the namespaces, and of the ports, which stay reserved."""
        self._close_namespaces()
        if self._network is not None:
            self._network.detach()
        for path in self._own_files:
            path.unlink(missing_ok=True)
        self._ports.let_go()

    def destroy(self) -> None:
        """Remove the hosts' directories but a spool that is not empty, and give the ports back."""
        self._close_namespaces()
        if self._network is not None:
            self._network.end()
        for directory in self._directories:
            remove_directory(directory)
        self._directories.clear()
        self._ports.release()

    def _close_namespaces(self) -> None:
        """Let go of all namespaces, side by side: the kernel waits for each, and for mount points in use."""
        if self._isolations:
            from concurrent.futures import ThreadPoolExecutor

            with ThreadPoolExecutor(min(CLOSERS, len(self._isolations))) as closers:
                list(closers.map(Isolation.close, self._isolations))
        self._isolations.clear()

    def _deploy_one(self, placement: Placement, request: HostRequest, visible: Sequence[Path]) -> Host:
        directory = request.directory / "hosts" / placement.id
        port = self._journalled_port(placement, request, directory)
        fstab = directory / FSTAB
        if request.is_visit:
            fstab = directory / f"{FSTAB}-{os.getpid()}"  # that of others is theirs
            self._own_files.append(fstab)
        self._directories.append(directory)
        for name in ("work", "home", "tmp", "spool"):
            (directory / name).mkdir(parents=True, exist_ok=True)
        (directory / "tmp").chmod(0o1777)
        masks = [Mask(TMP.resolve(), directory / "tmp")]
        home = _home()
        if home is not None and home.is_dir() and home not in {Path("/"), TMP.resolve()}:
            masks.append(Mask(home, directory / "home"))
        network, addresses = self._network, None
        enter = None if network is None else lambda: network.enter(placement.id)
        if network is not None:
            addresses = (
                network.address4(placement.id),
                network.address6(placement.id) if _address6() else None,
            )
        isolation = Isolation(masks, visible, fstab, enter)
        self._isolations.append(isolation)
        limiting = limiting_command(placement.limits, len(self._directories) - 1)
        environment = request.environment_of(placement)
        host = LocalHost(placement, port, directory, isolation, environment, limiting, addresses)
        if network is not None:
            host.network_counters = network.counters(placement.id)
        if request.keeps_checkpoints:
            host.keep_checkpoints(directory / "checkpoint")
        return host

    def _journalled_port(self, placement: Placement, request: HostRequest, directory: Path) -> int:
        """The port of a host, which is written into the journal with all that the host is made of."""
        made = request.made.get(placement.id)
        if made is not None:
            if self._network is None and not request.is_visit:
                self._ports.take(int(made["port"]))
            return int(made["port"])
        number = {}
        if self._network is None:
            port = self._ports.allot()
        else:
            port = self._network.service_port
            number = {"number": self._network.numbers[placement.id]}
        request.journal.write("host", id=placement.id, directory=str(directory), port=port, **number)
        return port


def _may_be_apart(placements: Sequence[Placement], request: HostRequest) -> bool:
    """Whether hosts have a network of their own as far as the scenario and the journal go."""
    if request.made:
        return any("number" in request.made.get(placement.id, {}) for placement in placements)
    return request.isolation == "netns" or (request.isolation is None and request.has_links)


def remove_directory(directory: Path) -> None:
    """Remove the directory of a host, but a spool that is not empty."""
    for name in ("work", "home", "tmp", "checkpoint"):
        shutil.rmtree(directory / name, ignore_errors=True)
    for path in directory.glob(f"{FSTAB}*"):
        path.unlink(missing_ok=True)
    for left in (directory / "spool", directory, directory.parent):
        if left.is_dir() and not any(left.iterdir()):
            left.rmdir()


def _visible_directories(request: HostRequest) -> list[Path]:
    """The directories of this machine that a host needs, wherever they lie."""
    wanted = [*request.inputs, request.directory]
    tmp = TMP.resolve()
    for path in wanted:
        if tmp.is_relative_to(path.resolve()):
            raise DeploymentError(
                f"{path} contains /tmp, so that hosts cannot have a /tmp of their own beside it. "
                "Put the scenario, its artifacts and the results in directories of their own."
            )
    python = [Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).parent, PACKAGE.parent]
    imports = [Path(entry) for entry in sys.path if entry]
    masked = [path for path in (tmp, _home()) if path is not None]
    needed = [path.resolve() for path in (*python, *imports) if path.is_dir()]
    # A venv is named by its path as well as by what a link in it leads to.
    needed += [path.absolute() for path in python]
    below = [path for path in needed if path not in masked and any(path.is_relative_to(m) for m in masked)]
    return [*(path.resolve() for path in wanted), *below]


def _home() -> Path | None:
    """The user's home directory; None for a user id that has none, as in many containers."""
    try:
        return Path.home().resolve()
    except RuntimeError:
        return None


def _environment(home: Path, tmp: str, spool: Path, given: Mapping[str, str]) -> dict[str, str]:
    """A small clean set of variables, then those given; a PYTHONPATH is put before ours."""
    path = os.environ.get("PATH", os.defpath)
    python_path = [given.get("PYTHONPATH", ""), str(PACKAGE / "compat"), str(PACKAGE.parent)]
    return {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{path}",
        "LANG": os.environ.get("LANG", "C.UTF-8"),
        "HOME": str(home),
        "TMPDIR": tmp,
        "OPTIPROV_SPOOL": str(spool),
        **given,
        "PYTHONPATH": os.pathsep.join(entry for entry in python_path if entry),
    }


@lru_cache(maxsize=1)
def _address6() -> str | None:
    """The IPv6 address of this machine for itself, None where it has no IPv6."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind((ADDRESS6, 0))
    except OSError:
        return None
    return ADDRESS6


@lru_cache(maxsize=1)
def _shell() -> str:
    return shutil.which("bash") or SHELL
