"""What the stages of a deployment need: its hosts, what starts and ends their processes, and a workbench."""

from __future__ import annotations

import logging
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
from optiprov.errors import DeploymentError, HostUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from optiprov.deploy.journal import Journal
    from optiprov.deploy.network.applied_rules import AppliedRules
    from optiprov.deploy.network.validation import Effort
    from optiprov.deploy.network.verdict import Finding
    from optiprov.deploy.scenario import Scenario
    from optiprov.deploy.services.standing import StandingServices

logger = logging.getLogger(__name__)

_SIDE_BY_SIDE = 32


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
        services: URLs of what listens on this machine and hosts reach, beside those in the variables.
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
        services: Sequence[str] = (),
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
        self._services = services
        self._keeps_checkpoints = keeps_checkpoints
        self._infrastructure = Infrastructure(scenario)
        self._monitor = HostMonitor(deployment_id, directory, journal)
        self._supervisor: Supervisor | None = None
        self._given: dict[str, Any] = {}
        self._standing = _standing_of(scenario, directory)
        self._applied_rules: AppliedRules | None = None

    @property
    def supervisor(self) -> Supervisor | None:
        """What ends the processes should this one die; None before `supervise`."""
        return self._supervisor

    @property
    def _ends_with_us(self) -> bool:
        """Whether all of the deployment ends with this process, its monitor and network too."""
        return self._supervised == marker_of(self._id)

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
        if self._supervisor is None:
            self.supervise()
        assert self._supervisor is not None  # noqa: S101  just made
        content = self._scenario.layers_services
        request = HostRequest(
            self._scenario.input_dirs,
            self._directory,
            {**self._environment, MARKER_VARIABLE: self._id},
            self._journal,
            client_environment=self._client_environment,
            made=made,
            is_detached=self._is_detached,
            isolation=self._scenario.isolation,
            has_links=bool(self._scenario.networks),
            services=self._services,
            watch=self._supervisor.watch if self._ends_with_us else lambda _session: None,
            testbeds=content.environment,
            supervised=self._supervised,
            placements=self._scenario.placements,
            firewall_rules=(*content.environment.firewall_rules, *content.firewall_rules),
            keeps_checkpoints=self._keeps_checkpoints,
        )
        self.processes = ProcessTable(self._journal, self._supervisor)
        self.hosts = self._infrastructure.deploy(request)
        lacking = [host for host in self.hosts if PROVENANCE_ROLE in host.roles and not host.has_client]
        if lacking:
            from optiprov.deploy.client_archive import ARCHIVE_NAME, write_client_archive

            archive = write_client_archive(self._directory / ARCHIVE_NAME)

            def give(host: Host) -> None:
                # One that was made already may be away for now.
                with suppress(*([HostUnavailable] if host.id in made else [])):
                    host.give_client(archive)

            _side_by_side(give, lacking)

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
            self._given = dict(given)
            selected = self.hosts if self._standing is None else self._standing.selected(self.hosts)
            variables = Variables(self._scenario, selected, given)
            record = WorkflowRecord(output_dir, self._on_play)
            self.workbench = Workbench(self._scenario, output_dir, variables, self.processes, record)
        return self.workbench

    def deploy_services(self) -> bool:
        """Have the services that have a class deployed, unless they stand, and lay out what tasks need anew.

        Returns:
            Whether some were deployed.

        Raises:
            DeploymentError: One failed; what they have started has ended.
        """
        if self._standing is None or self.workbench is None:
            return False
        variables = Variables(self._scenario, self.hosts, self._given)
        try:
            if not self._standing.deploy(self.hosts, self.workbench, variables):
                return False
        except BaseException:
            self.end_processes()
            raise
        self.arrange(self.workbench.directory, self._given)
        return True

    @property
    def applied_rules(self) -> AppliedRules | None:
        """What lies between the hosts; None where the scenario has no rules, or there are no hosts yet."""
        if self._applied_rules is None and self._scenario.networks and self.hosts:
            from optiprov.deploy.network.applied_rules import AppliedRules  # few scenarios have rules
            from optiprov.deploy.network.guards import Guards

            assert self.processes is not None  # noqa: S101  there are hosts
            guards = None if self._is_detached else Guards(self.processes, self._directory)
            groups = self._infrastructure.groups()
            self._applied_rules = AppliedRules(self._scenario, self._directory, self._journal, groups, guards)
        return self._applied_rules

    def apply_network(
        self, optimization_config: Mapping[str, Any], *, is_final: bool, is_asked_for: bool = False
    ) -> None:
        """Emulate what the rules of the scenario ask for, as `AppliedRules.apply` does.

        Raises:
            DeploymentError: A rule cannot be used, or not be emulated.
        """
        if self.workbench is not None and (applied_rules := self.applied_rules) is not None:
            variables = self.workbench.variables.general(optimization_config)
            applied_rules.apply(variables, is_final=is_final, is_asked_for=is_asked_for)

    def validate_network(
        self, effort: Effort, *, is_all: bool, on_step: Callable[[str, int, int], None]
    ) -> list[Finding]:
        """Measure what is emulated, and write what came of it.

        Raises:
            DeploymentError: Nothing is emulated, or a host cannot measure.
        """
        from optiprov.deploy.network.report import write_report
        from optiprov.deploy.network.state import NetworkState, as_links
        from optiprov.deploy.network.validation import Validation, links_to_measure

        rows = NetworkState.read(self._directory).links
        if not rows or self.processes is None:
            raise DeploymentError(
                f"{self._directory}: no rule of network.yaml is emulated: there is nothing to measure. "
                "`optiprov network SCENARIO` applies them, `optiprov network SCENARIO show` tells of each."
            )
        self.processes.open()
        chosen = links_to_measure(rows, as_links(rows), is_all=is_all)
        findings = Validation(self.hosts, self.processes, effort, on_step).run(chosen)
        write_report(self._directory, findings)
        return findings

    def end_network(self) -> None:
        """Take off the rules that would stay on hosts which go on without the deployment."""
        if self.applied_rules is not None:
            self.applied_rules.end()

    def start_monitor(self) -> None:
        """Record the load of the hosts, where the scenario asks for it and somebody stores it."""
        broker = self._environment | self._client_environment
        if self._scenario.is_monitored and "OPTIPROV_BROKER" in broker:
            supervised = self._supervisor.environment if self._supervisor and self._ends_with_us else {}
            here = [host for host in self.hosts if not host.is_away]
            if len(here) < len(self.hosts):
                logger.warning("monitoring: the load of hosts that are other machines is not recorded.")
            if here:
                self._monitor.start(here, {**broker, **supervised})

    def spool_dirs(self) -> list[Path]:
        """The provenance spools of the hosts, brought here as they are now, and that of the monitor."""
        _side_by_side(_bring_spool, self._away)
        monitor = [self._monitor.spool_dir] if self._scenario.is_monitored else []
        return [*(host.spool_dir for host in self.hosts), *monitor]

    def end_processes(self) -> None:
        """End the processes that this one started."""
        if self.processes is not None:
            self.processes.close()
            self._end_on_hosts(self._supervised)
            self.processes.end_all()
        if self._standing is not None:
            self._standing.note_end(of_ours=True)

    def end_unnoted(self) -> None:
        """End what this process started and had no time to note, as Ctrl-C came in between."""
        if self._supervisor is not None:
            self._end_on_hosts(self._supervised)
            end_processes((self._supervised,), set())

    def end_others(self) -> None:
        """End what earlier processes that worked on a detached deployment left, and what monitors it."""
        if self._is_detached:
            self._end_on_hosts(marker_of(self._id))
            journalled = read_journal(self._journal.path)
            sessions = not_recycled(journalled.sessions_of_this_boot()) if journalled is not None else set()
            end_processes((marker_of(self._id),), sessions)
            with suppress(OSError):  # the disk is full: the next command warns of them, no more
                forget_left(self._journal)
            if self._standing is not None:
                self._standing.note_end()
        if self._scenario.is_monitored:
            self._monitor.stop()

    def detach(self) -> None:
        """Let go of the hosts, which stay, and of what runs there."""
        self._infrastructure.detach()
        if self._supervisor is not None:
            self._supervisor.close()
        if self._standing is not None:
            self._standing.note_left()

    def remove(self) -> None:
        """Remove the hosts, and say so in the journal: where something is left, it is removed later."""
        is_gone = self._infrastructure.destroy()
        if self._supervisor is not None:
            self._supervisor.close()
            if self._journal.path.exists() and is_gone:
                self._journal.write("finalized")

    def _end_on_hosts(self, assignment: str) -> None:
        """End what has a mark on hosts that are other machines; what stands for it here is ended apart."""
        _side_by_side(lambda host: host.end_marked((assignment,)), self._away)

    @property
    def _away(self) -> list[Host]:
        return [host for host in self.hosts if host.is_away]


def _side_by_side(do: Callable[[Host], None], hosts: Sequence[Host]) -> None:
    """Do something for each of some hosts, which takes its time on other machines."""
    if hosts:
        from concurrent.futures import ThreadPoolExecutor  # local hosts alone need none

        with ThreadPoolExecutor(min(_SIDE_BY_SIDE, len(hosts))) as pool:
            list(pool.map(do, hosts))


def _bring_spool(host: Host) -> None:
    try:
        host.bring_spool()
    except OSError as error:
        logger.warning("host %s: its provenance cannot be brought here for now: %s", host.id, error)


def _standing_of(scenario: Scenario, directory: Path) -> StandingServices | None:
    """The services that have a class; None where none has."""
    if not scenario.services:
        return None
    from optiprov.deploy.services.standing import StandingServices

    return StandingServices(directory)
