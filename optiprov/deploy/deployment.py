"""A deployment: the hosts of a scenario, and its stages run on them."""

from __future__ import annotations

import threading
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optiprov.deploy.equipment import Equipment
from optiprov.deploy.journal import JOURNAL_NAME, Journal, marker_of, read_journal
from optiprov.deploy.left_running import notice_ends
from optiprov.deploy.providers.base import CHECKPOINT_VARIABLE
from optiprov.deploy.record import LAYERS_SERVICES_VALIDATE, write_layers_services
from optiprov.deploy.stage_runs import StageRuns
from optiprov.deploy.variables import chosen_app_conf
from optiprov.errors import DeploymentError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from optiprov.deploy.network.validation import Effort
    from optiprov.deploy.network.verdict import Finding
    from optiprov.deploy.providers.base import Host
    from optiprov.deploy.scenario import Scenario


class Deployment:
    """One deployment of a scenario, in a directory of its own.

    Call `prepare`, `launch` (any number of times), `finalize`; the last on every way out. One thread
    drives it; `launching`, `running`, `has_ended`, `wait` and `stop` may be called from others. It uses
    neither signal handlers nor atexit: should this process die, a supervisor ends the deployment's
    processes within 10 s.

    A detached deployment outlives this process: `deploy` makes it, `detach` leaves it, and another
    process goes on with it after `attach`. Its hosts stay until `destroy`, its background processes until
    `finish` or `destroy`. The supervisor then ends what this process started, should it die.

    Args:
        scenario: The scenario.
        directory: Where logs, fetched files and the hosts' directories go; made if missing.
        environment: Variables for every process on every host.
        client_environment: Variables for hosts with the role `provenance`.
        provenance: Where the provenance service is, for layers_services-validate.yaml.
        variables: Variables for templates; `app_conf` chooses a set of workflow_env.yaml.
        deployment_id: What names the deployment in its journal and marks its processes.
        is_detached: Whether the deployment outlives this process.
        supervised: What marks the processes that end with this process should it die, `NAME=value`; by
            default all processes of the deployment do.
        on_play: Called with the stage when a play of it has ended.
        is_told: Whether somebody was told already what of the scenario has no effect.
        checkpoints: Where `fetch_checkpoints` of an earlier deployment has left what the hosts' processes
            go on from, or where there is nothing yet; None where nothing is to be kept of theirs.

    Raises:
        ScenarioError: `variables` chooses an `app_conf` that does not exist.
    """

    def __init__(
        self,
        scenario: Scenario,
        directory: Path,
        *,
        environment: Mapping[str, str] = {},
        client_environment: Mapping[str, str] = {},
        provenance: Mapping[str, str] = {},
        variables: Mapping[str, Any] = {},
        deployment_id: str | None = None,
        is_detached: bool = False,
        supervised: str | None = None,
        on_play: Callable[[str], None] = lambda _stage: None,
        is_told: bool = False,
        checkpoints: Path | None = None,
    ) -> None:
        scenario.require_deployable()
        chosen_app_conf(scenario, variables)
        self.scenario = scenario
        self.directory = Path(directory).resolve()
        self.output_dir = self.directory
        self.id = deployment_id or f"{scenario.job_name}-{uuid.uuid4().hex[:12]}"
        self._provenance = dict(provenance)
        self._given_variables = dict(variables)
        self.is_detached = is_detached
        self._is_told = is_told
        self._lock = threading.RLock()
        self._journal = Journal(self.directory / JOURNAL_NAME)
        self._equipment = Equipment(
            scenario,
            self.directory,
            self.id,
            self._journal,
            environment=environment,
            client_environment=client_environment,
            supervised=supervised or marker_of(self.id),
            is_detached=is_detached,
            on_play=on_play,
            services=[url for name, url in provenance.items() if name in {"page", "broker"}],
            keeps_checkpoints=checkpoints is not None,
        )
        self._checkpoints = checkpoints
        self._runs = StageRuns(scenario.plays, self._equipment, self._on_failure)
        self._is_stopped = False
        self._is_finalized = False

    @property
    def hosts(self) -> list[Host]:
        """Its hosts, in the order of the scenario; none before they are deployed."""
        return self._equipment.hosts

    @property
    def is_journalled(self) -> bool:
        """Whether its directory holds a deployment, by this process or an earlier one."""
        return read_journal(self._journal.path) is not None

    def deploy(self) -> Path:
        """Deploy the hosts, journalled first.

        Returns:
            The directory of the deployment.

        Raises:
            DeploymentError: Hosts cannot be had, the directory holds a deployment, or `stop()` was called.
            ScenarioError: The scenario asks for what cannot be had.
        """
        with self._lock:
            self._refuse_if_stopped()
            self.scenario.require_deployable()
            self._journal.discard_torn()
            if self._journal.path.exists():
                raise DeploymentError(
                    f"{self.directory} holds a deployment already ({JOURNAL_NAME}). Give each deployment "
                    "a directory of its own."
                )
            if not self._is_told:
                self.scenario.warn()
            self.directory.mkdir(parents=True, exist_ok=True)
            self._equipment.supervise()
            self._journal.write_owner(self.id, is_detached=self.is_detached)
            self._equip({})
        return self.directory

    def attach(self) -> Path:
        """Go on with what an earlier process deployed, wherever it left off or was killed.

        Returns:
            The directory of the deployment.

        Raises:
            DeploymentError: The directory holds no such deployment, or hosts of it cannot be had again.
        """
        with self._lock:
            journalled = read_journal(self._journal.path)
            if journalled is None or journalled.id != self.id:
                raise DeploymentError(
                    f"{self.directory} holds no deployment {self.id!r} ({JOURNAL_NAME}). Deploy it anew."
                )
            notice_ends(self._journal)
            self._equipment.supervise()
            self._equip(journalled.hosts)
        return self.directory

    def deploy_services(self) -> None:
        """Deploy the services that have a class, unless they stand already; hosts are deployed.

        `finish` and `end` end what they have started: they are deployed again before the next stage.

        Raises:
            DeploymentError: One failed, after which nothing runs of any; or `stop()` was called.
            ScenarioError: A pattern of the workflow selects none of the hosts that they have registered.
        """
        self._refuse_if_stopped()
        if self._equipment.deploy_services():
            self._write_hosts()
        if self.scenario.services and self._equipment.workbench is not None:
            self.scenario.require_hosts(self._selected)
        if self._is_stopped:  # meanwhile, by another thread
            self._equipment.end_processes()
            self._refuse_if_stopped()

    def use_app_conf(self, app_conf: str | None) -> None:
        """Have the stages that follow take a set of workflow_env.yaml, and leave their output in its folder.

        Raises:
            ScenarioError: There is no such set.
        """
        self._given_variables["app_conf"] = app_conf
        if app_conf is None:
            del self._given_variables["app_conf"]
        chosen_app_conf(self.scenario, self._given_variables)
        self.output_dir = self.directory / app_conf if app_conf else self.directory
        self._equipment.arrange(self.output_dir, self._given_variables)

    def prepare(self) -> Path:
        """Deploy the hosts and the services that have a class, unless they are, and run the stage prepare.

        Returns:
            The directory of the deployment.

        Raises:
            DeploymentError: A task failed, hosts cannot be had, the directory holds a deployment, or
                `stop()` was called.
        """
        with self._lock:
            self._refuse_if_stopped()
            if self._equipment.workbench is None:
                self.deploy()
        self.deploy_services()
        with self._lock:
            given = self._given_variables.get("optimization_config", {})
            self._equipment.apply_network(given, is_final=False)
            run = self._runs.prepare(given)
        run.run()
        run.raise_if_failed()
        return self.directory

    def apply_network(self) -> Path:
        """Emulate what network.yaml asks for, also where it was taken off; `prepare` and `launch` do too.

        Returns:
            The directory of the deployment, whose network.json says what is emulated.

        Raises:
            DeploymentError: A rule cannot be used, its links cannot be emulated, or `stop()` was called.
        """
        with self._lock:
            self._refuse_if_stopped()
            given = self._given_variables.get("optimization_config", {})
            self._equipment.apply_network(given, is_final=False, is_asked_for=True)
        return self.directory

    def remove_network(self) -> Path:
        """Take the rules of network.yaml off, until `apply_network`: launches do not put them back.

        Returns:
            The directory of the deployment.

        Raises:
            DeploymentError: They cannot be taken off.
        """
        with self._lock:
            if self._equipment.applied_rules is not None:
                self._equipment.applied_rules.remove()
        return self.directory

    def validate_network(
        self,
        effort: Effort,
        *,
        is_all: bool = False,
        on_step: Callable[[str, int, int], None] = lambda _what, _done, _all: None,
    ) -> list[Finding]:
        """Measure what is emulated between the hosts, and write it to network-validate/.

        Args:
            effort: How long each measurement goes on.
            is_all: Whether every link is measured, rather than one and its way back for each set of rules.
            on_step: Called with what is measured next, and how many measurements are done of how many.

        Raises:
            DeploymentError: Nothing is emulated, or a host cannot measure.
        """
        with self._lock:
            self._refuse_if_stopped()
            return self._equipment.validate_network(effort, is_all=is_all, on_step=on_step)

    def launch(
        self,
        optimization_config: Mapping[str, Any] | None = None,
        *,
        wait: bool = True,
        duration_s: float = 0,
        timeout_s: float | None = None,
        fails_fast: bool = False,
    ) -> Path:
        """Run the stage launch.

        Args:
            optimization_config: What templates find as `optimization_config`.
            wait: Return when the launch has ended: foreground tasks, and background tasks with a
                time limit. Else return at once, the stage going on in a thread; `wait()` and
                `has_ended()` then tell (failures appear in `wait()`).
            duration_s: If above 0, the launch has ended after this time, or before it as soon as no
                process of it runs any more; what runs then goes on until `stop()` or `finalize()`.
            timeout_s: Seconds after which the stage fails and its processes are ended.
            fails_fast: Whether the first failed task ends the stage and its processes. Else only its host
                does no further task.

        Returns:
            The directory of the deployment.

        Raises:
            DeploymentError: A task failed, time ran out, the deployment is not prepared, or `stop()` was
                called.
        """
        if not self._is_finalized:
            self.deploy_services()
        with self._lock:
            self._refuse_if_stopped()
            if self._is_finalized:
                raise DeploymentError("launch() comes after prepare() and before finalize().")
            launch = self._runs.begin_launch(
                dict(optimization_config or {}),
                timeout_s=timeout_s,
                duration_s=duration_s,
                fails_fast=fails_fast,
            )
        if wait:
            launch.wait(None)
            launch.run.raise_if_failed()
        return self.directory

    def has_ended(self) -> bool:
        """Whether the application that was launched has ended, so that it will emit nothing more.

        With a `duration_s` it has when that has passed, or when the stage has ended and no process of
        it lives any more. Without one it has when the stage has ended, that is, foreground tasks and
        background tasks with a limit: a server that lives on beside them does not count. Only where
        no other task runs a process do background tasks without a limit count: then it has ended when
        none of them lives any more. True also where nothing was launched yet.
        """
        return self._runs.launch is None or self._runs.launch.has_ended()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the launch to end, after `duration_s` if it has one (servers may live on).

        Returns:
            Whether it has ended.

        Raises:
            DeploymentError: A task of the stage failed, or one that prepare started in the background.
        """
        launch = self._runs.launch
        has_ended = launch is None or launch.wait(timeout_s)
        self._runs.raise_if_failed()
        return has_ended

    def stop(self) -> None:
        """End the processes that this one started: TERM, KILL after 3 s. No failure; safe to call twice.

        It is final: a launch that is about to begin in another thread does not, and `finalize` is the
        only stage that can follow. Once `finalize` has begun, which stops everything itself after the
        stage's tasks, this does nothing.
        """
        with self._lock:
            self._is_stopped = True
            if self._is_finalized:
                return
            self._runs.stop()
            self._equipment.end_unnoted()

    def finish(self) -> Path:
        """Run the stage finalize, then end all processes; the hosts stay for further stages.

        Returns:
            The directory of the deployment.

        Raises:
            DeploymentError: A task of the stage finalize failed; all processes have ended nevertheless.
        """
        try:
            return self.run_finalize()
        finally:
            self.end()

    def run_finalize(self) -> Path:
        """Run the stage finalize alone; what runs goes on.

        Returns:
            The directory of the deployment.

        Raises:
            DeploymentError: A task of the stage finalize failed.
        """
        run = self._runs.finalize()
        if run is not None:
            run.raise_if_failed()
        return self.directory

    def end(self) -> None:
        """End all processes, those of earlier commands too; further stages may follow."""
        with self._lock:
            self._end_all()

    def detach(self) -> None:
        """Leave a detached deployment as it is: what runs goes on after this process has ended."""
        self._equipment.detach()

    def destroy(self) -> Path:
        """End all processes and remove the hosts, without the stage finalize.

        Logs, fetched files and spools with unsent provenance stay.
        """
        with self._lock:
            self._is_finalized = True
        self._undo()
        return self.directory

    def finalize(self) -> Path:
        """Run the stage finalize, then stop everything and remove the hosts' directories.

        Logs, fetched files and spools with unsent provenance stay. Finalizing twice does nothing.
        If an earlier stage failed, what fails now (most often a file that was never written) is in
        workflow-validate.out only: the first failure is the one to look at.

        Returns:
            The directory of the deployment.

        Raises:
            DeploymentError: A task of the stage finalize failed; everything is removed nevertheless.
        """
        with self._lock:
            if self._is_finalized:
                return self.directory
            self._is_finalized = True
            has_failed = self._runs.has_failed
        try:
            run = self._runs.finalize()
        finally:
            self._undo()
        if run is not None and not has_failed:
            run.raise_if_failed()
        return self.directory

    def spool_dirs(self) -> list[Path]:
        """The provenance spool of each host (OPTIPROV_SPOOL of its processes), in the order of the hosts.

        That of what monitors them comes last, where the scenario asks for it.
        """
        return self._equipment.spool_dirs()

    def fetch_checkpoints(self, target: Path) -> None:
        """Copy what the processes of each host can go on from to `<target>/<host>`.

        Raises:
            DeploymentError: It cannot be copied.
        """
        target.mkdir(parents=True, exist_ok=True)
        for host in self.hosts:
            if host.checkpoint_dir is None:
                continue
            try:
                host.fetch(host.checkpoint_dir, target / host.id)
            except OSError as error:
                raise DeploymentError(
                    f"what {host.id} has left in {CHECKPOINT_VARIABLE} cannot be fetched: {error}."
                ) from error

    def _equip(self, made: Mapping[str, Mapping[str, Any]]) -> None:
        """Have hosts, and what stages need to run on them."""
        self._equipment.provide(made)
        self._hand_over_checkpoints()
        self._equipment.arrange(self.output_dir, self._given_variables)
        if not (self.directory / LAYERS_SERVICES_VALIDATE).exists():
            self._write_hosts()

    def _write_hosts(self) -> None:
        workbench = self._equipment.workbench
        if workbench is not None:
            write_layers_services(self.scenario, workbench.variables, self.directory, self._provenance)

    @property
    def _selected(self) -> list[Host]:
        """The hosts that patterns select."""
        workbench = self._equipment.workbench
        return [host for host, _ in workbench.variables.selves()] if workbench is not None else []

    def _hand_over_checkpoints(self) -> None:
        """Give each host what its processes of an earlier deployment have left."""
        if self._checkpoints is None:
            return
        for host in self.hosts:
            if host.checkpoint_dir is None:
                raise DeploymentError(
                    f"{host.id} of {host.placement.testbed} has no {CHECKPOINT_VARIABLE}. Use a scheduler "
                    "that pauses no trial, or hosts on this machine."
                )
            left = self._checkpoints / host.id
            if left.is_dir():
                host.put_directory(left, host.checkpoint_dir, content_only=True)

    def _refuse_if_stopped(self) -> None:
        if self._is_stopped:
            raise DeploymentError(f"the deployment {self.id} was stopped: only finalize() can follow.")

    def _on_failure(self) -> None:
        """The stage launch has to end: the application is stopped as a whole."""
        if not self.has_ended() and not self._is_finalized:
            self._equipment.end_processes()

    def _end_all(self) -> None:
        """End the application, what earlier processes left of it, and what monitors it."""
        self._runs.stop()
        self._equipment.end_others()

    def _undo(self) -> None:
        """Undo what the journal says was made."""
        with self._lock:
            self._equipment.end_network()
            self._end_all()
        self._equipment.remove()
