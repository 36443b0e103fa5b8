"""What a provider gives: hosts, on which tasks run processes and write files."""

from __future__ import annotations

import os
import sys
from abc import ABC, abstractmethod
from dataclasses import field
from typing import TYPE_CHECKING, Any

from optiprov.deploy.frozen import frozen

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from optiprov.deploy.journal import Journal
    from optiprov.deploy.models import Environment
    from optiprov.deploy.models.environment import FirewallRule
    from optiprov.deploy.network.base import NetworkEmulator
    from optiprov.deploy.placement import Placement
    from optiprov.deploy.providers.files import HostFiles


PROVENANCE_ROLE = "provenance"
"""The role whose hosts get the capture client and its environment."""

CHECKPOINT_VARIABLE = "OPTIPROV_CHECKPOINT_DIR"
"""The variable that tells processes where to leave what they can go on from."""


@frozen
class HostRequest:
    """What a deployment asks a provider for.

    Attributes:
        inputs: The directories that the scenario reads from; hosts on this machine see them.
        directory: The directory of the deployment.
        environment: Variables for every process of every host.
        journal: Where each thing is written before it exists.
        client_environment: Variables for the processes of hosts that get the capture client: those with
            the role `provenance`.
        made: What the journal says of hosts that an earlier process made, by id: they are as they were.
        is_detached: Whether hosts outlive this process.
        isolation: What the scenario says of how local hosts are kept apart, None if it says nothing.
        has_links: Whether it has rules for what lies between its hosts.
        services: URLs of what listens on this machine and hosts reach, beside those in the variables.
        watch: Called with each session that has to end with this process, should it be killed.
        testbeds: What the scenario says of its testbeds.
        supervised: What marks the processes that end with this process, `NAME=value`; empty for none.
        keeps_checkpoints: Whether each host has a directory for its processes to go on from
            (OPTIPROV_CHECKPOINT_DIR in their environment).
        placements: All hosts of the scenario, whoever provides them.
        firewall_rules: Ports to open to other testbeds, beside those that a testbed's own key has.
        is_visit: Whether others may work on the hosts, which are all made: nothing is held or written.
    """

    inputs: Sequence[Path]
    directory: Path
    environment: Mapping[str, str]
    journal: Journal
    client_environment: Mapping[str, str] = field(default_factory=dict)
    made: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    is_detached: bool = False
    isolation: str | None = None
    has_links: bool = False
    services: Sequence[str] = ()
    watch: Callable[[int], None] = lambda _session: None
    testbeds: Environment | None = None
    supervised: str = ""
    keeps_checkpoints: bool = False
    placements: Sequence[Placement] = ()
    firewall_rules: Sequence[FirewallRule] = ()
    is_visit: bool = False

    def environment_of(self, placement: Placement) -> dict[str, str]:
        """The variables for the processes of one host."""
        own = self.client_environment if PROVENANCE_ROLE in placement.roles else {}
        return {**self.environment, **own}


class Host(ABC):
    """One host of a deployment. Paths on the host are those that its processes see.

    Attributes:
        placement: The place in the scenario.
        address: How other hosts reach it.
        address6: Its IPv6 address, None if it has none.
        gateway: The machine through which others reach it, None if they reach it directly.
        port: A TCP port for its service, free for the deployment's time.
        working_dir: Where its tasks run, and where relative destinations lie.
        spool_dir: The provenance spool of its processes, on this machine.
        shell: The program that runs shell commands.
        files: Its files.
        has_client: Whether its processes find the capture client without `give_client`.
        network_counters: A file of this machine like /proc/net/dev, and the interface in it to which the
            host's own is connected; None where it has none of its own.
        python: The Python that ansible-core's modules run on.
        is_away: Whether it is another machine than this one.
        scratch_dir: Where files lie that tasks need for themselves; no other host has it.
        checkpoint_dir: Where its processes leave what they can go on from; None where that is not kept.
    """

    placement: Placement
    address: str
    address6: str | None = None
    gateway: str | None = None
    port: int
    working_dir: str
    spool_dir: Path
    shell: str
    files: HostFiles
    has_client: bool = False
    network_counters: tuple[str, str] | None = None
    python: str = sys.executable
    is_away: bool = False
    scratch_dir: str = "~/.optiprov"
    checkpoint_dir: str | None = None

    @property
    def id(self) -> str:
        """The host id, `layer.service.service_id.machine_id`."""
        return self.placement.id

    @property
    def roles(self) -> Sequence[str]:
        """The roles of the host's service."""
        return self.placement.roles

    @abstractmethod
    def start(
        self,
        argv: Sequence[str],
        *,
        chdir: str | None,
        environment: Mapping[str, str],
        stdout: Path,
        stderr: Path,
    ) -> subprocess.Popen[bytes]:
        """Start a process as the leader of a session of its own, output going to files."""

    @abstractmethod
    def enclosed(self, argv: Sequence[str]) -> list[str]:
        """The command of this machine that runs another one on the host, as `start` does."""

    def shell_command(
        self, argv: Sequence[str], *, has_terminal: bool, forwards: Sequence[str] = ()
    ) -> list[str]:
        """The command of this machine for a user who runs another one on the host, at a terminal or not.

        Args:
            argv: The command.
            has_terminal: Whether it talks with the terminal of this process.
            forwards: Ports that are passed on while it runs, as ssh's -L has them; hosts that are other
                machines see to it.
        """
        del has_terminal, forwards
        return self.enclosed(argv)

    @abstractmethod
    def give_client(self, archive: Path) -> None:
        """Have its processes find the capture client in a zip file of this machine, which is copied."""

    @abstractmethod
    def write(self, source: bytes | Path, dest: str, *, name: str, mode: int | None) -> None:
        """Write a file, from bytes or from a file of this machine.

        If `dest` is a directory of the host or ends with a slash, the file goes below it as `name`.
        """

    @abstractmethod
    def put_directory(self, source: Path, dest: str, *, content_only: bool) -> None:
        """Copy a directory, or what it contains, into the directory `dest`."""

    @abstractmethod
    def fetch(self, src: str, target: Path) -> None:
        """Copy a file or directory of the host to a path of this machine.

        Raises:
            FileNotFoundError: There is no such file on the host.
        """

    # What follows is of hosts that are other machines: what a process of this one stands for there.

    def reach(self) -> None:  # noqa: B027  as the comment says
        """Have it reached, before something is started on it.

        Raises:
            HostUnavailable: It cannot be reached.
        """

    def end_process(self, process: subprocess.Popen[bytes]) -> None:  # noqa: B027  as the comment says
        """End what a process of this machine stands for on the host."""

    def end_marked(self, assignments: Sequence[str]) -> None:  # noqa: B027  as above
        """End the processes on the host that have all of these in their environment."""

    def runs_marked(self, assignments: Sequence[str]) -> bool:
        """Whether a process on the host has all of these in its environment."""
        del assignments
        return False

    def reason_lost(self, process: subprocess.Popen[bytes]) -> str | None:
        """Why nobody knows how what a process of this machine stood for has ended, as that process has."""
        del process
        return None

    def bring_spool(self) -> None:  # noqa: B027  as above
        """Have its provenance spool on this machine as it is now on the host.

        Raises:
            OSError: It cannot be brought.
        """


class Provider(ABC):
    """Deploys hosts and removes them. One object serves one deployment, from one thread at a time.

    Attributes:
        has_left: Whether something of its hosts could not be removed, and is to be removed later.
    """

    has_left = False

    @abstractmethod
    def deploy(self, placements: Sequence[Placement], request: HostRequest) -> list[Host]:
        """Make the hosts, in the order of the placements; those that are made already are taken as they are.

        Raises:
            DeploymentError: They cannot be had.
        """

    def emulator(self) -> NetworkEmulator | None:
        """What emulates links between its hosts, once they are deployed; None where nothing can."""
        return None

    @abstractmethod
    def detach(self) -> None:
        """Let go of what this process holds; the hosts stay, for another process to go on with."""

    @abstractmethod
    def destroy(self) -> None:
        """Remove the hosts; what was fetched, logs and unsent provenance stay."""


def joined_variables(own: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """A host's variables and those of a service or task, whose PYTHONPATH goes before the host's."""
    joined = {**own, **given}
    if "PYTHONPATH" in given:
        joined["PYTHONPATH"] = os.pathsep.join(filter(None, [given["PYTHONPATH"], own.get("PYTHONPATH", "")]))
    return joined
