"""What a provider gives: hosts, on which tasks run processes and write files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import field
from typing import TYPE_CHECKING, Any

from optiprov.deploy.frozen import frozen

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from optiprov.deploy.journal import Journal
    from optiprov.deploy.placement import Placement
    from optiprov.deploy.providers.files import HostFiles


PROVENANCE_ROLE = "provenance"
CHECKPOINT_VARIABLE = "OPTIPROV_CHECKPOINT_DIR"
"""The role whose hosts get the capture client and its environment."""


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
        keeps_checkpoints: Whether each host has a directory for its processes to go on from
            (OPTIPROV_CHECKPOINT_DIR in their environment).
    """

    inputs: Sequence[Path]
    directory: Path
    environment: Mapping[str, str]
    journal: Journal
    client_environment: Mapping[str, str] = field(default_factory=dict)
    made: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    is_detached: bool = False
    keeps_checkpoints: bool = False

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


class Provider(ABC):
    """Deploys hosts and removes them. One object serves one deployment, from one thread at a time."""

    @abstractmethod
    def deploy(self, placements: Sequence[Placement], request: HostRequest) -> list[Host]:
        """Make the hosts, in the order of the placements; those that are made already are taken as they are.

        Raises:
            DeploymentError: They cannot be had.
        """

    @abstractmethod
    def detach(self) -> None:
        """Let go of what this process holds; the hosts stay, for another process to go on with."""

    @abstractmethod
    def destroy(self) -> None:
        """Remove the hosts; what was fetched, logs and unsent provenance stay."""
