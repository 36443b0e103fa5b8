"""A deployment: the hosts of a scenario, and its stages run on them."""

from __future__ import annotations

import threading
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optiprov.deploy.client_archive import ARCHIVE_NAME, write_client_archive
from optiprov.deploy.infrastructure import Infrastructure
from optiprov.deploy.journal import JOURNAL_NAME, MARKER_VARIABLE, Journal, marker_of, read_journal
from optiprov.deploy.launch import Launch, runs_finite_tasks
from optiprov.deploy.left_running import forget_left, notice_ends
from optiprov.deploy.monitoring import HostMonitor
from optiprov.deploy.processes import ProcessTable
from optiprov.deploy.providers.base import PROVENANCE_ROLE, Host, HostRequest
from optiprov.deploy.record import LAYERS_SERVICES_VALIDATE, WorkflowRecord, write_layers_services
from optiprov.deploy.stages import StageRun
from optiprov.deploy.supervisor import Supervisor
from optiprov.deploy.variables import Variables, chosen_app_conf
from optiprov.deploy.watchdog import end_processes, not_recycled
from optiprov.deploy.workbench import Workbench
from optiprov.errors import DeploymentError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from optiprov.deploy.scenario import Scenario
    from optiprov.deploy.workflow import Stage

STOP_TIMEOUT_S = 15.0


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
    ) -> None:
        scenario.require_deployable()
        chosen_app_conf(scenario, variables)
        self.scenario = scenario
        self.directory = Path(directory).resolve()
        self.output_dir = self.directory
        self.id = deployment_id or f"{scenario.job_name}-{uuid.uuid4().hex[:12]}"
        self.hosts: list[Host] = []
        self._environment = dict(environment)
        self._client_environment = dict(client_environment)
        self._provenance = dict(provenance)
        self._given_variables = dict(variables)
        self.is_detached = is_detached
        self._supervised = supervised or marker_of(self.id)
        self._on_play = on_play
        self._is_told = is_told
        self._lock = threading.RLock()
        self._journal = Journal(self.directory / JOURNAL_NAME)
        self._infrastructure = Infrastructure(scenario)
        self._monitor = HostMonitor(self.id, self.directory, self._journal)
        self._supervisor: Supervisor | None = None
        self._processes: ProcessTable | None = None
        self._workbench: Workbench | None = None
        self._runs: list[StageRun] = []
        self._launch: Launch | None = None
        self._is_stopped = False
        self._is_finalized = False

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
            self._supervisor = Supervisor(self._supervised)
            self._journal.write_owner(self.id, is_detached=self.is_detached)
            self._equip(self._supervisor, {})
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
            self._supervisor = Supervisor(self._supervised)
            self._equip(self._supervisor, journalled.hosts)
        return self.directory

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
        if self._processes is not None:
            self._workbench = self._make_workbench(self._processes)

    def prepare(self) -> Path:
        """Deploy the hosts, unless they are, and run the stage prepare.

        Returns:
            The directory of the deployment.

        Raises:
            DeploymentError: A task failed, hosts cannot be had, the directory holds a deployment, or
                `stop()` was called.
        """
        with self._lock:
            self._refuse_if_stopped()
            if self._workbench is None:
                self.deploy()
            given = self._given_variables.get("optimization_config", {})
            run = self._new_run("prepare", given, on_failure=self._on_failure)
        run.run()
        run.raise_if_failed()
        return self.directory

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
        launch = self._begin_launch(
            dict(optimization_config or {}), timeout_s, duration_s, fails_fast=fails_fast
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
        return self._launch is None or self._launch.has_ended()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the launch to end, after `duration_s` if it has one (servers may live on).

        Returns:
            Whether it has ended.

        Raises:
            DeploymentError: A task of the stage failed, or one that prepare started in the background.
        """
        launch = self._launch
        has_ended = launch is None or launch.wait(timeout_s)
        for run in self._runs:
            if run.stage != "launch" or (launch is not None and run is launch.run):
                run.raise_if_failed()
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
            self._stop_application()
            if self._supervisor is not None:
                # Ctrl-C may have come between the start of a process and the note of it.
                end_processes((self._supervised,), set())

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
        run = self._run_finalize()
        if run is not None:
            run.raise_if_failed()
        return self.directory

    def end(self) -> None:
        """End all processes, those of earlier commands too; further stages may follow."""
        with self._lock:
            self._end_all()

    def detach(self) -> None:
        """Leave a detached deployment as it is: what runs goes on after this process has ended."""
        self._infrastructure.detach()
        if self._supervisor is not None:
            self._supervisor.close()

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
            has_failed = any(run.has_failed for run in self._runs)
        try:
            run = self._run_finalize()
        finally:
            self._undo()
        if run is not None and not has_failed:
            run.raise_if_failed()
        return self.directory

    def spool_dirs(self) -> list[Path]:
        """The provenance spool of each host (OPTIPROV_SPOOL of its processes), in the order of the hosts.

        That of what monitors them comes last, where the scenario asks for it.
        """
        monitor = [self._monitor.spool_dir] if self.scenario.is_monitored else []
        return [*(host.spool_dir for host in self.hosts), *monitor]

    def _equip(self, supervisor: Supervisor, made: Mapping[str, Mapping[str, Any]]) -> None:
        """Have hosts, and what stages need to run on them."""
        marker = {MARKER_VARIABLE: self.id}
        request = HostRequest(
            self.scenario.input_dirs,
            self.directory,
            {**self._environment, **marker},
            self._journal,
            client_environment=self._client_environment,
            made=made,
            is_detached=self.is_detached,
        )
        self._processes = ProcessTable(self._journal, supervisor)
        self.hosts = self._infrastructure.deploy(request)
        self._give_clients()
        self._workbench = self._make_workbench(self._processes)
        if not (self.directory / LAYERS_SERVICES_VALIDATE).exists():
            variables = self._workbench.variables
            write_layers_services(self.scenario, variables, self.directory, self._provenance)

    def _give_clients(self) -> None:
        """Copy the capture client onto the hosts that record and do not have it."""
        lacking = [host for host in self.hosts if PROVENANCE_ROLE in host.roles and not host.has_client]
        if lacking:
            archive = write_client_archive(self.directory / ARCHIVE_NAME)
            for host in lacking:
                host.give_client(archive)

    def _make_workbench(self, processes: ProcessTable) -> Workbench:
        self.output_dir.mkdir(exist_ok=True)
        variables = Variables(self.scenario, self.hosts, self._given_variables)
        record = WorkflowRecord(self.output_dir, self._on_play)
        return Workbench(self.scenario, self.output_dir, variables, processes, record)

    def _new_run(self, stage: Stage, optimization_config: Mapping[str, Any], **options: Any) -> StageRun:
        assert self._workbench is not None  # noqa: S101  hosts are deployed
        run = StageRun(stage, self._workbench, optimization_config=optimization_config, **options)
        self._runs.append(run)
        return run

    def _refuse_if_stopped(self) -> None:
        if self._is_stopped:
            raise DeploymentError(f"the deployment {self.id} was stopped: only finalize() can follow.")

    def _begin_launch(
        self,
        optimization_config: Mapping[str, Any],
        timeout_s: float | None,
        duration_s: float,
        *,
        fails_fast: bool,
    ) -> Launch:
        with self._lock:
            self._refuse_if_stopped()
            if self._workbench is None or self._processes is None or self._is_finalized:
                raise DeploymentError("launch() comes after prepare() and before finalize().")
            if self._launch is not None and (self._launch.goes_on() or not self._launch.run.ended.is_set()):
                raise DeploymentError("the stage launch still runs. Call wait() or stop() first.")
            self._processes.open()
            run = self._new_run(
                "launch",
                optimization_config,
                timeout_s=timeout_s,
                fails_fast=fails_fast,
                on_failure=self._on_failure,
            )
            self._start_monitor()
            is_finite = runs_finite_tasks(self.scenario.plays)
            launch = Launch(run, self._processes, has_finite_tasks=is_finite, duration_s=duration_s)
            self._launch = launch
            launch.begin()
        return launch

    def _start_monitor(self) -> None:
        """Record the load of the hosts, where the scenario asks for it and somebody stores it."""
        broker = self._environment | self._client_environment
        if self.scenario.is_monitored and "OPTIPROV_BROKER" in broker:
            # Where all of the deployment ends with this process, the monitor does too.
            is_whole = self._supervised == marker_of(self.id)
            supervised = self._supervisor.environment if self._supervisor and is_whole else {}
            self._monitor.start(self.hosts, {**broker, **supervised})

    def _run_finalize(self) -> StageRun | None:
        if self._workbench is None or self._processes is None:
            return None
        self._processes.open()
        config = self._launch.run.optimization_config if self._launch is not None else {}
        run = self._new_run("finalize", config)
        run.run()
        return run

    def _on_failure(self) -> None:
        """The stage launch has to end: the application is stopped as a whole."""
        if not self.has_ended() and not self._is_finalized:
            self._end_processes()

    def _stop_application(self) -> None:
        for run in self._runs:
            run.stop()
        self._end_processes()
        if self._launch is not None:
            self._launch.join(STOP_TIMEOUT_S)

    def _end_all(self) -> None:
        """End the application, what earlier processes left of it, and what monitors it."""
        self._stop_application()
        if self.is_detached:
            self._end_earlier_processes()
        if self.scenario.is_monitored:
            self._monitor.stop()

    def _end_processes(self) -> None:
        if self._processes is not None:
            self._processes.end_all()

    def _end_earlier_processes(self) -> None:
        """End what earlier processes that worked on this deployment left running."""
        journalled = read_journal(self._journal.path)
        sessions = not_recycled(journalled.sessions_of_this_boot()) if journalled is not None else set()
        end_processes((marker_of(self.id),), sessions)
        with suppress(OSError):  # the disk is full: the next command warns of them, no more
            forget_left(self._journal)

    def _undo(self) -> None:
        """Undo what the journal says was made."""
        with self._lock:
            self._end_all()
        self._infrastructure.destroy()
        if self._supervisor is not None:
            self._supervisor.close()
        if self._journal.path.exists() and self._supervisor is not None:
            self._journal.write("finalized")
