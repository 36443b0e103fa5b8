"""The stages that were run on the hosts of a deployment, in their order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optiprov.deploy.launch import Launch, runs_finite_tasks
from optiprov.deploy.stages import StageRun
from optiprov.errors import DeploymentError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from optiprov.deploy.equipment import Equipment
    from optiprov.deploy.workflow import Play, Stage

STOP_TIMEOUT_S = 15.0


class StageRuns:
    """The stages of one deployment that this process runs. `Deployment` locks it.

    Args:
        plays: The plays of the scenario.
        equipment: What they need.
        on_failure: Called when an application is to be stopped as a whole, since a task of it has failed.

    Attributes:
        launch: The last launch, None before the first.
    """

    def __init__(self, plays: Sequence[Play], equipment: Equipment, on_failure: Callable[[], None]) -> None:
        self.launch: Launch | None = None
        self._plays = plays
        self._equipment = equipment
        self._on_failure = on_failure
        self._runs: list[StageRun] = []

    @property
    def has_failed(self) -> bool:
        """Whether a task of any stage has failed so far."""
        return any(run.has_failed for run in self._runs)

    def prepare(self, optimization_config: Mapping[str, Any]) -> StageRun:
        """The stage prepare, ready to be run; there are hosts."""
        return self._add("prepare", optimization_config, on_failure=self._on_failure)

    def begin_launch(
        self,
        optimization_config: Mapping[str, Any],
        *,
        timeout_s: float | None,
        duration_s: float,
        fails_fast: bool,
    ) -> Launch:
        """Begin the stage launch in a thread, with what monitors it.

        Raises:
            DeploymentError: There are no hosts, an earlier launch still runs, or a rule of the network
                cannot be used.
        """
        processes = self._equipment.processes
        if self._equipment.workbench is None or processes is None:
            raise DeploymentError("launch() comes after prepare() and before finalize().")
        if self.launch is not None and (self.launch.goes_on() or not self.launch.run.ended.is_set()):
            raise DeploymentError("the stage launch still runs. Call wait() or stop() first.")
        self._equipment.apply_network(optimization_config, is_final=True)
        processes.open()
        run = self._add(
            "launch",
            optimization_config,
            timeout_s=timeout_s,
            fails_fast=fails_fast,
            on_failure=self._on_failure,
        )
        self._equipment.start_monitor()
        is_finite = runs_finite_tasks(self._plays)
        self.launch = Launch(run, processes, has_finite_tasks=is_finite, duration_s=duration_s)
        self.launch.begin()
        return self.launch

    def finalize(self) -> StageRun | None:
        """Run the stage finalize with the configuration of the last launch; None where there are no hosts."""
        if self._equipment.workbench is None or self._equipment.processes is None:
            return None
        self._equipment.processes.open()
        run = self._add("finalize", self.launch.run.optimization_config if self.launch is not None else {})
        run.run()
        return run

    def raise_if_failed(self) -> None:
        """Raise the first failure of the last launch, or of what another stage left in the background.

        Raises:
            DeploymentError: A task failed.
        """
        for run in self._runs:
            if run.stage != "launch" or (self.launch is not None and run is self.launch.run):
                run.raise_if_failed()

    def stop(self) -> None:
        """End all of them and the processes that they started, and wait for the launch to notice."""
        for run in self._runs:
            run.stop()
        self._equipment.end_processes()
        if self.launch is not None:
            self.launch.join(STOP_TIMEOUT_S)

    def _add(self, stage: Stage, optimization_config: Mapping[str, Any], **options: Any) -> StageRun:
        workbench = self._equipment.workbench
        assert workbench is not None  # noqa: S101  hosts are deployed
        run = StageRun(stage, workbench, optimization_config=optimization_config, **options)
        self._runs.append(run)
        return run
