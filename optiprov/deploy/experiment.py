"""An experiment: a scenario deployed by hand, step by step, by commands that are processes of their own."""

from __future__ import annotations

import logging
import uuid
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optiprov.deploy.deployment import Deployment
from optiprov.deploy.experiment_service import ExperimentService
from optiprov.deploy.experiment_state import (
    DEPLOYED,
    DEPLOYING,
    DESTROYED,
    STATE_NAME,
    ExperimentState,
    find_cut_off,
    find_experiment,
    find_standing,
    locked,
    new_directory,
    require_same_hosts,
)
from optiprov.deploy.frozen import frozen
from optiprov.deploy.invocations import end_interrupted, mark_of_last, noted
from optiprov.deploy.journal import JOURNAL_NAME, marker_of, read_journal
from optiprov.deploy.loading import load_scenario
from optiprov.deploy.remains import destroy_remains, remove_left, remove_remains
from optiprov.deploy.supervisor import Supervisor, wait_for_supervisors
from optiprov.errors import DeploymentError, OptiprovError, ScenarioError, UrlError
from optiprov.store.url import StoreUrl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from optiprov.deploy.network.validation import Effort
    from optiprov.deploy.network.verdict import Finding
    from optiprov.deploy.scenario import Scenario
    from optiprov.deploy.scenario_service import ScenarioService

logger = logging.getLogger(__name__)

PREPARE = "workflow prepare"


@frozen
class Hooks:
    """What an experiment tells to and has done by those above it.

    Attributes:
        on_play: Called with the stage when a play of it has ended.
        dump: Writes the store at an address into a SQL file.
    """

    on_play: Callable[[str], None] = lambda _stage: None
    dump: Callable[[str, Path], None] = lambda _store, _path: None


class Experiment:
    """One experiment, in a directory of its own named by the time.

    Each method is what a command does: it takes hold of the directory, goes on from what the files say, and
    lets go. It can be called again after a crash (kill -9) at any point.

    Args:
        directory: The experiment's directory.
        state: Its state.
        scenario: Its scenario.
        hooks: What is told, and the writer of dumps.
    """

    def __init__(
        self, directory: Path, state: ExperimentState, scenario: Scenario, hooks: Hooks | None = None
    ) -> None:
        self.directory = directory.resolve()
        self.scenario = scenario
        self._state = state
        self._hooks = hooks or Hooks()
        self._deployment: Deployment | None = None
        self._service = ExperimentService(self.directory, state, scenario, self._hooks.dump)
        self._is_whole = False

    @classmethod
    def create(
        cls,
        scenario_dir: Path,
        artifacts_dir: Path | None,
        *,
        provider: str | None = None,
        store: str | None = None,
        without: Sequence[str] = (),
        output: Path | None = None,
        repeat: int = 1,
        hooks: Hooks | None = None,
        loaded: Scenario | None = None,
    ) -> Experiment:
        """Make the directory of a new experiment; nothing is deployed yet.

        Args:
            scenario_dir: The scenario.
            artifacts_dir: Its artifacts; by default as `load_scenario` finds them.
            provider: Whose hosts all services get.
            store: A store or a running service in place of a file of the experiment's own.
            without: Keys of what cannot be had that are left out.
            output: Where the directory is made; by default in the scenario's.
            repeat: Which repetition it is.
            hooks: What is told, and the writer of dumps.
            loaded: The scenario, where `check_deployable` has loaded it with these arguments.

        Raises:
            ScenarioError: The scenario cannot be used, or asks for what cannot be had.
            UrlError: The store's address cannot be understood.
        """
        if store is not None:
            StoreUrl.parse(store)  # before anything is made
        scenario = loaded or load_scenario(scenario_dir, artifacts_dir, provider=provider).without(without)
        scenario.require_deployable()
        state = ExperimentState(
            id=f"{scenario.job_name}-{uuid.uuid4().hex[:12]}",
            scenario=str(scenario.directory),
            artifacts=str(scenario.artifacts_dir),
            provider=provider,
            store=store,
            without=tuple(without),
            repeat=repeat,
        )
        directory = new_directory((output or scenario.directory).resolve())
        state.write(directory)
        return cls(directory, state, scenario, hooks)

    @classmethod
    def open(cls, place: Path, *, hooks: Hooks | None = None) -> Experiment:
        """Open an experiment by its directory, or the newest one of a scenario.

        Raises:
            ScenarioError: There is none, or its scenario cannot be used any more.
        """
        directory = find_experiment(place)
        if directory is None:
            if not place.is_dir():
                raise ScenarioError(
                    f"{place}: is not a directory. Give that of an experiment, or its scenario's."
                )
            raise ScenarioError(
                f"{place}: has no experiment. Deploy one first: optiprov layers-services {place}"
            )
        state = ExperimentState.read(directory)
        artifacts = Path(state.artifacts) if state.artifacts else None
        scenario = load_scenario(Path(state.scenario), artifacts, provider=state.provider)
        return cls(directory, state, scenario.without(state.without).as_deployed(), hooks)

    @classmethod
    def unfinished(
        cls,
        scenario_dir: Path,
        artifacts_dir: Path | None = None,
        *,
        provider: str | None = None,
        store: str | None = None,
        without: Sequence[str] = (),
        output: Path | None = None,
        hooks: Hooks | None = None,
    ) -> Experiment | None:
        """The newest experiment of a scenario if deploying its hosts was begun and cut off, else None.

        What is given has to be what it was begun with. One that another command works on is none.

        Args:
            scenario_dir: The scenario, or the directory of the experiment.
            artifacts_dir: Its artifacts.
            provider: Whose hosts all services get.
            store: A store in place of a file of the experiment's own.
            without: Keys that are left out.
            output: Where the directories of its experiments are; by default in the scenario's.
            hooks: What is told, and the writer of dumps.

        Raises:
            ScenarioError: It was begun with something else.
        """
        directory = find_cut_off(scenario_dir, output or scenario_dir)
        if directory is None:
            return None
        given = {
            "artifacts": None if artifacts_dir is None else str(artifacts_dir.resolve()),
            "provider": provider,
            "store": store,
            "without": tuple(without) or None,
        }
        ExperimentState.read(directory).require_same(directory, given)
        return cls.open(directory, hooks=hooks)

    @classmethod
    def destroy_at(cls, place: Path) -> Path:
        """Destroy an experiment, also where its scenario cannot be used any more.

        Of several of a scenario, the newest that is not destroyed yet.

        Returns:
            Its directory.

        Raises:
            ScenarioError: There is none.
        """
        if not (place / STATE_NAME).exists():
            place = next(iter(find_standing(place)), place)
        try:
            experiment = cls.open(place)
        except ScenarioError as error:
            directory = find_experiment(place)
            if directory is None:
                raise
            logger.warning("the scenario cannot be used; its hosts are removed without it: %s", error)
            destroy_remains(directory.resolve())
            return directory
        experiment.destroy()
        return experiment.directory

    @property
    def addresses(self) -> dict[str, Any]:
        """Where its provenance service is, or was; empty without one."""
        return self._service.addresses

    @property
    def store(self) -> str:
        """The store of its provenance, as it may be shown."""
        return self._service.store

    @property
    def has_hosts(self) -> bool:
        """Whether hosts of it may be there: some were deployed, and they were not removed."""
        return not self._is_destroyed and read_journal(self.directory / JOURNAL_NAME) is not None

    @property
    def _is_destroyed(self) -> bool:
        return self._state.status == DESTROYED

    def layers_services(self) -> None:
        """Deploy the hosts and the provenance service.

        Raises:
            DeploymentError: Hosts cannot be had.
            WorkError: The service does not start, or the specification of dataflows fails.
        """
        with self._working("layers-services"):
            service = self._service.start(is_whole=self._is_whole)
            self._deploy(service).deploy_services()
            specification = self.scenario.specification
            if service is not None and specification is not None and self._state.status == DEPLOYING:
                service.load_specification(specification)
            self._state.status = DEPLOYED

    def apply_network(self) -> None:
        """Emulate what network.yaml asks for, as it is now.

        Raises:
            DeploymentError: A rule cannot be used, or its links cannot be emulated.
        """
        with self._working("network apply"):
            self._attached().apply_network()

    def remove_network(self) -> None:
        """Take the rules of network.yaml off, while all else goes on.

        Raises:
            DeploymentError: They cannot be taken off.
        """
        with self._working("network remove"):
            self._attached().remove_network()

    def validate_network(
        self, effort: Effort, *, is_all: bool, on_step: Callable[[str, int, int], None]
    ) -> list[Finding]:
        """Measure what is emulated, as `Deployment.validate_network` does.

        Raises:
            DeploymentError: Nothing is emulated, or a host cannot measure.
        """
        with self._working("network validate"):
            return self._attached().validate_network(effort, is_all=is_all, on_step=on_step)

    def prepare(self) -> None:
        """Run the stage prepare.

        Raises:
            DeploymentError: A task failed.
        """
        with self._working(PREPARE):
            self._attached().prepare()

    def launch(self, app_conf: str | None = None, *, duration_s: float = 0) -> None:
        """Run the stage launch until it has ended; what it leaves in the background goes on.

        Args:
            app_conf: A set of workflow_env.yaml, in whose folder the output goes.
            duration_s: How long an application without an end of its own runs.

        Raises:
            DeploymentError: A task failed, or the walltime has passed.
            ScenarioError: There is no such set.
        """
        with self._working("workflow launch", app_conf):
            deployment = self._attached()
            self._warn_if_unprepared()
            deployment.use_app_conf(app_conf)
            deployment.launch(duration_s=duration_s, timeout_s=self.scenario.walltime_s)

    def workflow_finalize(self, app_conf: str | None = None) -> None:
        """Run the stage finalize alone; nothing is ended.

        Raises:
            DeploymentError: A task failed.
            ScenarioError: There is no such set.
        """
        with self._working("workflow finalize", app_conf):
            deployment = self._attached()
            deployment.use_app_conf(app_conf)
            deployment.run_finalize()

    def finalize(self, app_conf: str | None = None, *, is_last: bool = True) -> None:
        """Run the stage finalize, end all processes, and back the provenance up.

        All of it is done, whichever part fails. The hosts stay until `destroy`.

        Args:
            app_conf: A set of workflow_env.yaml, in whose folder the output goes.
            is_last: Whether the provenance service ends too.

        Raises:
            DeploymentError: A task failed.
            ScenarioError: There is no such set.
        """
        with self._working("finalize", app_conf), ExitStack() as last_to_first:
            deployment = self._attached()
            deployment.use_app_conf(app_conf)
            if is_last:
                last_to_first.callback(self._service.stop)
            last_to_first.callback(self._service.back_up, deployment)
            deployment.finish()

    def finalize_after_failure(self, app_conf: str | None = None) -> None:
        """Finalize after a step that failed: the first failure is the one to look at, others are logged."""
        try:
            self.finalize(app_conf)
        except OptiprovError as error:
            logger.warning("finalizing after the failure: %s", error)

    def destroy_after_failure(self) -> None:
        """Destroy after a step that failed, as `finalize_after_failure` finalizes."""
        try:
            self.destroy()
        except OptiprovError as error:
            logger.warning("destroying after the failure: %s", error)

    def destroy(self) -> None:
        """End all that runs and remove the hosts; what was fetched, logs and provenance stay.

        Destroyed again, what machines that were away the first time still have is removed.
        """
        if self._is_destroyed:
            remove_left(self.directory)
            return
        with self._working("destroy"):
            with ExitStack() as last_to_first:
                self._remove(last_to_first)
            self._state.status = DESTROYED

    def _remove(self, last_to_first: ExitStack) -> None:
        """Store what was recorded, and have the stack end and remove the rest."""
        try:
            service = self._service.make(is_whole=self._is_whole)
        except UrlError as error:
            logger.warning("the provenance service is left out: %s", error)
            service = None
        if service is not None:
            last_to_first.callback(service.stop)
        journalled = read_journal(self.directory / JOURNAL_NAME)
        is_whole = journalled is not None and len(journalled.hosts) == len(self.scenario.placements)
        if journalled is None or (journalled.reservations and not is_whole):
            # What is missing of hosts would be waited for, only to be released.
            last_to_first.callback(remove_remains, self.directory, self._state.id)
            return
        self._remove_hosts(service, last_to_first)

    @contextmanager
    def whole(self, command: str) -> Iterator[None]:
        """Do several steps in one process, which all that it started ends with, should it be killed."""
        with locked(self.directory, command), ExitStack() as stack:
            self._is_whole = True
            if self._service.is_asked_for:
                supervisor = Supervisor(self._service.mark)
                stack.callback(supervisor.close)
            stack.callback(self._detach)
            yield

    @contextmanager
    def _working(self, command: str, app_conf: str | None = None) -> Iterator[None]:
        """Do one step, noted in the state before and after; alone in the directory."""
        with ExitStack() as stack:
            if not self._is_whole:
                stack.enter_context(locked(self.directory, command))
                self._state = ExperimentState.read(self.directory)
                stack.callback(self._detach)
            self._refuse_if_destroyed()
            end_interrupted(self._state)
            # A whole one is supervised by its deployment: what is started now would be ended with it.
            if not self._is_whole:
                wait_for_supervisors((marker_of(self._state.id), self._service.mark))
            with noted(self._state, self.directory, command, app_conf):
                try:
                    yield
                except KeyboardInterrupt:
                    if self._deployment is not None:
                        self._deployment.stop()
                    raise

    def _warn_if_unprepared(self) -> None:
        """Tell where the hosts lack what the stage prepare does, since it was not run or has not ended."""
        outcomes = [one["outcome"] for one in self._state.invocations if one["command"] == PREPARE]
        prepares = (play.tasks["prepare"] or "roles" in play.keywords for play in self.scenario.plays)
        if "done" in outcomes or not any(prepares):
            return
        logger.warning(
            "%s: the stage prepare %s. Run it first: optiprov workflow %s prepare",
            self.directory,
            f"was not done, but {outcomes[-1]}" if outcomes else "was not run",
            self.directory,
        )

    def _refuse_if_destroyed(self) -> None:
        if self._is_destroyed:
            raise ScenarioError(
                f"{self.directory}: this experiment was destroyed. Deploy another one: "
                f"optiprov layers-services {self._state.scenario}"
            )

    def _deploy(self, service: ScenarioService | None) -> Deployment:
        """Have the hosts: those that are there already, and what is missing of them."""
        deployment = Deployment(
            self.scenario,
            self.directory,
            environment={"OPTIPROV_TRIAL_ID": self._state.id},  # also where records are sent later, by hand
            client_environment=service.client_environment() if service else {},
            provenance=service.description() if service else {},
            variables={"current_repeat": self._state.repeat},
            deployment_id=self._state.id,
            is_detached=True,
            supervised=None if self._is_whole else mark_of_last(self._state),
            on_play=self._hooks.on_play,
            is_told=self._state.repeat > 1,
        )
        self._deployment = deployment
        if deployment.is_journalled:
            deployment.attach()
        else:
            deployment.deploy()
        return deployment

    def _remove_hosts(self, service: ScenarioService | None, last_to_first: ExitStack) -> None:
        """Have the hosts removed, and have stored before what they recorded.

        Hosts that were never all deployed, as one of them cannot be had, have recorded nothing.
        """
        try:
            deployment = self._deployment or self._deploy(service)
        except DeploymentError as error:
            logger.warning("what there is of its hosts is removed; they are not all there: %s", error)
            self._let_go()
            last_to_first.callback(remove_remains, self.directory, self._state.id)
            return
        last_to_first.callback(deployment.destroy)
        if service is not None:
            deployment.end()
            service.settle_unsent(deployment.spool_dirs())

    def _attached(self) -> Deployment:
        if self._state.status == DEPLOYING:
            raise DeploymentError(
                f"{self.directory}: its hosts are not all deployed. Run optiprov layers-services "
                f"{self.directory} to go on, or optiprov destroy {self.directory}."
            )
        require_same_hosts(self.directory, self.scenario)
        return self._deployment or self._deploy(self._service.start(is_whole=self._is_whole))

    def _detach(self) -> None:
        self._let_go()
        self._is_whole = False

    def _let_go(self) -> None:
        deployment, self._deployment = self._deployment, None
        if deployment is not None:
            with suppress(OptiprovError):
                deployment.detach()
