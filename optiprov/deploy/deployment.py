"""A deployment: the hosts of a scenario, and its stages run on them."""

from __future__ import annotations

import logging
import threading
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optiprov.deploy.execution import Workbench
from optiprov.deploy.journal import JOURNAL_NAME, Journal, marker_of
from optiprov.deploy.launch import Launch, runs_finite_tasks
from optiprov.deploy.processes import ProcessTable
from optiprov.deploy.providers import PROVIDERS
from optiprov.deploy.providers.base import Host, HostRequest, Provider
from optiprov.deploy.record import WorkflowRecord, write_layers_services
from optiprov.deploy.stages import StageRun
from optiprov.deploy.supervisor import Supervisor
from optiprov.deploy.variables import Variables, chosen_app_conf
from optiprov.errors import DeploymentError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optiprov.deploy.scenario import Scenario

logger = logging.getLogger(__name__)

STOP_TIMEOUT_S = 15.0


class Deployment:
    """One deployment of a scenario, in a directory of its own.

    Call `prepare`, `launch` (any number of times), `finalize`; the last on every way out. One thread
    drives it; `launching`, `running`, `has_ended`, `wait` and `stop` may be called from others. It uses
    neither signal handlers nor atexit: should this process die, a supervisor ends the deployment's
    processes within 10 s.

    Args:
        scenario: The scenario.
        directory: Where logs, fetched files and the hosts' directories go; made if missing.
        environment: Variables for every process on every host.
        variables: Variables for templates; `app_conf` chooses a set of workflow_env.yaml.
        deployment_id: What names the deployment in its journal and marks its processes.

    Raises:
        ScenarioError: `variables` chooses an `app_conf` that does not exist.
    """

    def __init__(
        self,
        scenario: Scenario,
        directory: Path,
        *,
        environment: Mapping[str, str] = {},
        variables: Mapping[str, Any] = {},
        deployment_id: str | None = None,
    ) -> None:
        scenario.require_deployable()
        chosen_app_conf(scenario, variables)
        self.scenario = scenario
        self.directory = Path(directory).resolve()
        self.id = deployment_id or f"{scenario.job_name}-{uuid.uuid4().hex[:12]}"
        self.hosts: list[Host] = []
        self._environment = dict(environment)
        self._given_variables = dict(variables)
        self._lock = threading.RLock()
        self._journal = Journal(self.directory / JOURNAL_NAME)
        self._providers: list[Provider] = []
        self._supervisor: Supervisor | None = None
        self._processes: ProcessTable | None = None
        self._workbench: Workbench | None = None
        self._runs: list[StageRun] = []
        self._launch: Launch | None = None
        self._is_stopped = False
        self._is_finalized = False

    def prepare(self) -> Path:
        """Deploy the hosts, journalled first, and run the stage prepare.

        Returns:
            The directory of the deployment.

        Raises:
            DeploymentError: A task failed, hosts cannot be had, the directory holds a deployment, or
                `stop()` was called.
        """
        with self._lock:
            self._refuse_if_stopped()
            if self._journal.path.exists():
                raise DeploymentError(
                    f"{self.directory} holds a deployment already ({JOURNAL_NAME}). Give each deployment "
                    "a directory of its own."
                )
            self.directory.mkdir(parents=True, exist_ok=True)
            self._supervisor = Supervisor(marker_of(self.id))
            self._journal.write_owner(self.id)
            self._processes = ProcessTable(self._journal, self._supervisor)
            self._deploy_hosts()
            variables = Variables(self.scenario, self.hosts, self._given_variables)
            write_layers_services(self.scenario, variables, self.directory)
            record = WorkflowRecord(self.directory)
            self._workbench = Workbench(self.scenario, self.directory, variables, self._processes, record)
            given = self._given_variables.get("optimization_config", {})
            run = StageRun("prepare", self._workbench, optimization_config=given, on_failure=self._on_failure)
            self._runs.append(run)
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

        Returns:
            The directory of the deployment.

        Raises:
            DeploymentError: A task failed, time ran out, the deployment is not prepared, or `stop()` was
                called.
        """
        launch = self._begin_launch(dict(optimization_config or {}), timeout_s, duration_s)
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
        """End the application's processes: TERM, KILL after 3 s. Not a failure; safe to call twice.

        It is final: a launch that is about to begin in another thread does not, and `finalize` is the
        only stage that can follow. Once `finalize` has begun, which stops everything itself after the
        stage's tasks, this does nothing.
        """
        with self._lock:
            self._is_stopped = True
            if not self._is_finalized:
                self._stop_application()

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
        """The provenance spool of each host (OPTIPROV_SPOOL of its processes), in the order of the hosts."""
        return [host.spool_dir for host in self.hosts]

    def _deploy_hosts(self) -> None:
        if self.scenario.networks:
            logger.warning(
                "%s: networks are not emulated yet: hosts talk at full speed.", self.scenario.directory
            )
        request = HostRequest(self.scenario.input_dirs, self.directory, self._environment, self._journal)
        by_id: dict[str, Host] = {}
        for testbed in dict.fromkeys(placement.testbed for placement in self.scenario.placements):
            provider = PROVIDERS[testbed]()
            self._providers.append(provider)
            placements = [placement for placement in self.scenario.placements if placement.testbed == testbed]
            by_id.update((host.id, host) for host in provider.deploy(placements, request))
        self.hosts = [by_id[placement.id] for placement in self.scenario.placements]

    def _refuse_if_stopped(self) -> None:
        if self._is_stopped:
            raise DeploymentError(f"the deployment {self.id} was stopped: only finalize() can follow.")

    def _begin_launch(
        self, optimization_config: Mapping[str, Any], timeout_s: float | None, duration_s: float
    ) -> Launch:
        with self._lock:
            self._refuse_if_stopped()
            if self._workbench is None or self._processes is None or self._is_finalized:
                raise DeploymentError("launch() comes after prepare() and before finalize().")
            if self._launch is not None and (self._launch.goes_on() or not self._launch.run.ended.is_set()):
                raise DeploymentError("the stage launch still runs. Call wait() or stop() first.")
            self._processes.open()
            run = StageRun(
                "launch",
                self._workbench,
                optimization_config=optimization_config,
                timeout_s=timeout_s,
                on_failure=self._on_failure,
            )
            self._runs.append(run)
            is_finite = runs_finite_tasks(self.scenario.plays)
            launch = Launch(run, self._processes, has_finite_tasks=is_finite, duration_s=duration_s)
            self._launch = launch
            launch.begin()
        return launch

    def _run_finalize(self) -> StageRun | None:
        if self._workbench is None or self._processes is None:
            return None
        self._processes.open()
        config = self._launch.run.optimization_config if self._launch is not None else {}
        run = StageRun("finalize", self._workbench, optimization_config=config)
        run.run()
        return run

    def _on_failure(self) -> None:
        """A task failed: an application that is being launched is stopped as a whole."""
        if not self.has_ended() and not self._is_finalized:
            self._end_processes()

    def _stop_application(self) -> None:
        for run in self._runs:
            run.stop()
        self._end_processes()
        if self._launch is not None:
            self._launch.join(STOP_TIMEOUT_S)

    def _end_processes(self) -> None:
        if self._processes is not None:
            self._processes.end_all()

    def _undo(self) -> None:
        """Undo what the journal says was made."""
        with self._lock:
            self._stop_application()
        for provider in self._providers:
            provider.destroy()
        if self._supervisor is not None:
            self._supervisor.close()
        if self._journal.path.exists() and self._supervisor is not None:
            self._journal.write("finalized")
