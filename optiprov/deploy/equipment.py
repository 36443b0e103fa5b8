"""What the stages of a deployment need: its hosts, what starts and ends their processes, and a workbench."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from optiprov.deploy.infrastructure import Infrastructure
from optiprov.deploy.journal import MARKER_VARIABLE, marker_of, read_journal
from optiprov.deploy.left_running import forget_left
from optiprov.deploy.monitoring import HostMonitor
from optiprov.deploy.processes import ProcessTable
from optiprov.deploy.providers.base import PROVENANCE_ROLE, Host, HostRequest
from optiprov.deploy.record import WorkflowRecord
from optiprov.deploy.supervisor import Supervisor
from optiprov.deploy.variables import Variables
from optiprov.deploy.watchdog import end_processes, not_recycled
from optiprov.deploy.workbench import Workbench

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from optiprov.deploy.journal import Journal
    from optiprov.deploy.scenario import Scenario


class Equipment:
    """The hosts of one deployment and what goes with them. `Deployment` locks it.

    Args:
        scenario: The scenario.
        directory: The deployment's directory.
        deployment_id: Its id.
        journal: Its journal.
        environment: Variables for every process on every host.
        client_environment: Variables for hosts with the role `provenance`.
        supervised: What marks the processes that end with this process, `NAME=value`.
        is_detached: Whether the deployment outlives this process.
        on_play: Called with the stage when a play of it has ended.
        keeps_checkpoints: Whether the hosts keep what their processes can go on from.

    Attributes:
        hosts: The hosts, in the order of the scenario; none before `provide`.
        processes: What starts processes and ends them; None before `provide`.
        workbench: What tasks are executed with; None before `arrange`.
    """

    def __init__(
        self,
        scenario: Scenario,
        directory: Path,
        deployment_id: str,
        journal: Journal,
        *,
        environment: Mapping[str, str],
        client_environment: Mapping[str, str],
        supervised: str,
        is_detached: bool,
        on_play: Callable[[str], None],
        keeps_checkpoints: bool,
    ) -> None:
        self.hosts: list[Host] = []
        self.processes: ProcessTable | None = None
        self.workbench: Workbench | None = None
        self._scenario = scenario
        self._directory = directory
        self._id = deployment_id
        self._journal = journal
        self._environment = dict(environment)
        self._client_environment = dict(client_environment)
        self._supervised = supervised
        self._is_detached = is_detached
        self._on_play = on_play
        self._keeps_checkpoints = keeps_checkpoints
        self._infrastructure = Infrastructure(scenario)
        self._monitor = HostMonitor(deployment_id, directory, journal)
        self._supervisor: Supervisor | None = None

    @property
    def supervisor(self) -> Supervisor | None:
        """What ends the processes should this one die; None before `supervise`."""
        return self._supervisor

    def supervise(self) -> None:
        """Have the processes that are started from now on end with this one, should it be killed."""
        self._supervisor = Supervisor(self._supervised)

    def provide(self, made: Mapping[str, Mapping[str, Any]]) -> None:
        """Have the hosts, and the capture client on those that record and do not have it.

        Args:
            made: What the journal says of hosts that are there already, by id.

        Raises:
            DeploymentError: They cannot be had.
        """
        request = HostRequest(
            self._scenario.input_dirs,
            self._directory,
            {**self._environment, MARKER_VARIABLE: self._id},
            self._journal,
            client_environment=self._client_environment,
            made=made,
            is_detached=self._is_detached,
            keeps_checkpoints=self._keeps_checkpoints,
        )
        if self._supervisor is None:
            self.supervise()
        assert self._supervisor is not None  # noqa: S101  just made
        self.processes = ProcessTable(self._journal, self._supervisor)
        self.hosts = self._infrastructure.deploy(request)
        lacking = [host for host in self.hosts if PROVENANCE_ROLE in host.roles and not host.has_client]
        if lacking:
            from optiprov.deploy.client_archive import ARCHIVE_NAME, write_client_archive

            archive = write_client_archive(self._directory / ARCHIVE_NAME)
            for host in lacking:
                host.give_client(archive)

    def arrange(self, output_dir: Path, given: Mapping[str, Any]) -> Workbench | None:
        """Lay out what tasks are executed with.

        Args:
            output_dir: Where what they leave goes.
            given: Variables from outside.

        Returns:
            The workbench; None where there are no hosts yet.
        """
        if self.processes is not None:
            output_dir.mkdir(exist_ok=True)
            variables = Variables(self._scenario, self.hosts, given)
            record = WorkflowRecord(output_dir, self._on_play)
            self.workbench = Workbench(self._scenario, output_dir, variables, self.processes, record)
        return self.workbench

    def start_monitor(self) -> None:
        """Record the load of the hosts, where the scenario asks for it and somebody stores it."""
        broker = self._environment | self._client_environment
        if self._scenario.is_monitored and "OPTIPROV_BROKER" in broker:
            # Where all of the deployment ends with this process, the monitor does too.
            is_whole = self._supervised == marker_of(self._id)
            supervised = self._supervisor.environment if self._supervisor and is_whole else {}
            self._monitor.start(self.hosts, {**broker, **supervised})

    def spool_dirs(self) -> list[Path]:
        """The provenance spools of the hosts, and that of what monitors them."""
        monitor = [self._monitor.spool_dir] if self._scenario.is_monitored else []
        return [*(host.spool_dir for host in self.hosts), *monitor]

    def end_processes(self) -> None:
        """End the processes that this one started."""
        if self.processes is not None:
            self.processes.end_all()

    def end_unnoted(self) -> None:
        """End what this process started and had no time to note, as Ctrl-C came in between."""
        if self._supervisor is not None:
            end_processes((self._supervised,), set())

    def end_others(self) -> None:
        """End what earlier processes that worked on a detached deployment left, and what monitors it."""
        if self._is_detached:
            journalled = read_journal(self._journal.path)
            sessions = not_recycled(journalled.sessions_of_this_boot()) if journalled is not None else set()
            end_processes((marker_of(self._id),), sessions)
            with suppress(OSError):  # the disk is full: the next command warns of them, no more
                forget_left(self._journal)
        if self._scenario.is_monitored:
            self._monitor.stop()

    def detach(self) -> None:
        """Let go of the hosts, which stay, and of what runs there."""
        self._infrastructure.detach()
        if self._supervisor is not None:
            self._supervisor.close()

    def remove(self) -> None:
        """Remove the hosts, and say so in the journal."""
        self._infrastructure.destroy()
        if self._supervisor is not None:
            self._supervisor.close()
            if self._journal.path.exists():
                self._journal.write("finalized")
