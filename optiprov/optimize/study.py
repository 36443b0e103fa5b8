"""A study: one search, from its directory and its service to its results."""

from __future__ import annotations

import datetime
import logging
import re
import shutil
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from optiprov.capture import Client, Settings, send_leftovers, spool_heads
from optiprov.deploy import Supervisor, isolation_note, load_scenario, reap_abandoned
from optiprov.deploy.dataflow_specification import send_specification
from optiprov.deploy.watchdog import end_processes
from optiprov.errors import InputError, StudyError, StudyInterrupted
from optiprov.optimize.interrupts import Interrupts
from optiprov.optimize.plan import INTERRUPTED
from optiprov.optimize.ray_session import RaySession
from optiprov.optimize.readback import retry_unavailable
from optiprov.optimize.record import Outcome, copy_scenario, read_outcome
from optiprov.optimize.results import StudyResult, write_results
from optiprov.optimize.service import StudyService
from optiprov.optimize.trial import TrialPlace, trial_number
from optiprov.records import Status, StudyBegin, StudyEnd, TrialClose, new_id, now_us
from optiprov.store import Provenance, connect
from optiprov.wire import BrokerAddress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optiprov.deploy import Scenario
    from optiprov.optimize.plan import StudyPlan

_log = logging.getLogger(__name__)

_FLUSH_TIMEOUT_S = 30.0


class Study:
    """Runs one search with Ray Tune.

    Args:
        plan: what it is to do.

    Raises:
        InputError: the plan, or the scenario, cannot be used; nothing has been started.
        MissingExtraError: what the searcher needs is not installed.
    """

    def __init__(self, plan: StudyPlan) -> None:
        for name, value in (("num_samples", plan.num_samples), ("max_concurrent", plan.max_concurrent)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InputError(f"{name} is a whole number from 1 on, got {value!r}.")
        from optiprov.optimize.strategies import with_strategies  # imports ray

        self._plan = with_strategies(plan)
        self._optimization = plan.optimization
        self._load_scenario().warn()

    def _load_scenario(self) -> Scenario:
        scenario = load_scenario(self._optimization.scenario_dir, self._optimization.artifacts_dir)
        scenario.require_deployable()
        return scenario

    def run(self) -> StudyResult:
        """Run the study, and write its results even where it is interrupted.

        Raises:
            StudyError: no trial succeeded, or the search itself failed.
            StudyInterrupted: it was interrupted; what had ended is in the results.
        """
        reap_abandoned(self._optimization.options.results)
        if (note := isolation_note()) is not None:
            _log.warning(note)
        name, directory = self._make_directory()
        with Interrupts() as interrupts, ExitStack() as stack:
            remove = stack.enter_context(_removed_unless_kept(directory))
            supervisor = Supervisor(f"OPTIPROV_STUDY_PROCESS={name}-{new_id()}")
            ray = RaySession(self._plan.max_concurrent, supervisor.environment, interrupts)
            stack.callback(_end_children, supervisor, ray)
            scenario = self._load_scenario()
            service = stack.enter_context(
                StudyService(
                    self._optimization.store, directory, supervisor.environment, lanes=scenario.lanes
                )
            )
            _check_new(connect(service.http), name)
            client = self._client(name, directory, service)
            remove.pop_all()  # from here on there is something to keep
            broker = BrokerAddress.parse(service.mqtt)
            stack.callback(_deliver, client, name, directory, broker)
            if scenario.specification is not None:
                send_specification(scenario.specification, broker, directory / "spool")
            place = self._place(name, directory, service)
            interruption = self._record(client, place, service, ray, interrupts)
            result = self._results(client, place, service)
        return _checked(result, interruption)

    def _record(
        self,
        client: Client,
        place: TrialPlace,
        service: StudyService,
        ray: RaySession,
        interrupts: Interrupts,
    ) -> str | None:
        """Search, and record how it went; return what cut it off, or None."""
        plan = self._plan
        copy_scenario(self._load_scenario(), self._optimization.source, place.directory.parent)
        space = {parameter.name: repr(parameter) for parameter in plan.space}
        campaign = self._optimization.options.campaign
        client.emit(
            StudyBegin(place.study, now_us(), campaign, plan.metric, plan.mode, space, plan.settings())
        )
        status: str = Status.FAILED
        reason: str | None = "the search failed"
        try:
            self._search(place, client, ray, interrupts)
            status, reason = (Status.STOPPED, INTERRUPTED) if interrupts.occurred else (Status.FINISHED, None)
        except KeyboardInterrupt:
            status, reason = Status.STOPPED, INTERRUPTED
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise
        finally:
            _flush(client)
            if status == Status.FINISHED and not _has_finished_trial(service, place.study):
                status, reason = Status.FAILED, "no trial succeeded"
            client.emit(StudyEnd(place.study, now_us(), status, reason))
            if status == Status.FAILED:
                self._results(client, place, service)
        return reason if status == Status.STOPPED else None

    def _results(self, client: Client, place: TrialPlace, service: StudyService) -> StudyResult:
        _flush(client)
        directory = place.directory.parent
        return retry_unavailable(
            lambda _left_s: write_results(
                connect(service.http), place.study, directory, service.store, self._plan
            )
        )

    def _make_directory(self) -> tuple[str, Path]:
        """Make the study's directory; its name is the study's, and nobody else's."""
        wanted = self._optimization.name
        if wanted is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", wanted):
            raise InputError(f"A study's name has letters, digits, '.', '_' and '-', got {wanted!r}.")
        now = datetime.datetime.now(datetime.timezone.utc)
        stem = wanted or f"{_slug(self._optimization.source_dir.name)}-{now:%Y%m%d-%H%M%S}"
        if wanted is None and self._optimization.store is not None:
            stem += f"-{new_id()[:4]}"  # others may begin a study in the same store in the same second
        results = self._optimization.options.results.resolve()
        for attempt in range(100):
            name = stem if attempt == 0 else f"{stem}-{attempt + 1}"
            try:
                (results / name).mkdir(parents=True)
            except FileExistsError:
                if wanted is not None:
                    raise InputError(
                        f"{results / name} exists. Choose another name for the study, or remove it."
                    ) from None
                continue
            return name, results / name
        raise InputError(f"{results}: no free name for a study {stem!r}.")

    def _client(self, name: str, directory: Path, service: StudyService) -> Client:
        broker = BrokerAddress.parse(service.mqtt)
        campaign = self._optimization.options.campaign
        return Client(Settings(spool=directory / "spool", broker=broker, study=name, campaign=campaign))

    def _place(self, name: str, directory: Path, service: StudyService) -> TrialPlace:
        from optiprov.optimize.schedulers import pauses_trials  # imports ray

        return TrialPlace(
            study=name,
            campaign=self._optimization.options.campaign,
            metric=self._plan.metric,
            directory=directory / "trials",
            scenario_dir=self._optimization.scenario_dir,
            artifacts_dir=self._optimization.artifacts_dir,
            http=service.http,
            mqtt=service.mqtt,
            broker_ca=_absolute(BrokerAddress.parse(service.mqtt).ca),
            seed=self._optimization.seed,
            duration_s=self._optimization.duration_s,
            may_pause=pauses_trials(self._plan.scheduler),
        )

    def _search(self, place: TrialPlace, client: Client, ray: RaySession, interrupts: Interrupts) -> None:
        """Drive Ray Tune, in a Ray of the study's own."""
        plan = self._plan
        with self._optimization.options.progress() as progress:
            progress.study_started(place.study, plan.num_samples, plan.metric, plan.mode)
            interrupts.check()
            with ray as temporary:
                from optiprov.optimize.tuning import tune_trials  # imports ray, whose environment is now set

                tune_trials(plan, place, client, progress, temporary, interrupts)


def _checked(result: StudyResult, interruption: str | None) -> StudyResult:
    """Return a result that has a best trial; otherwise raise what there is to say."""
    if interruption is not None:
        ended = int((result.trials["reason"] != INTERRUPTED).sum())
        best = f", the best with {result.metric} = {result.best.value:.6g}" if result.best else ""
        raise StudyInterrupted(
            f"{ended} trial{'' if ended == 1 else 's'} had ended{best}; see {result.directory}."
        )
    if result.best is None:
        first_lines = dict.fromkeys(reason.splitlines()[0].rstrip(".") for reason in result.failures)
        reasons = "; ".join(list(first_lines)[:3]) or "none ran to its end"
        logs = result.directory / "trials"
        raise StudyError(f"No trial of {result.name} succeeded: {reasons}. Their logs are in {logs}.")
    return result


@contextmanager
def _removed_unless_kept(directory: Path) -> Iterator[ExitStack]:
    """Remove a directory at the end of the block, unless the stack that it gets is emptied."""
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        yield stack


def _end_children(supervisor: Supervisor, ray: RaySession) -> None:
    """End what still runs of the study's own processes, such as a service interrupted as it started."""
    if ray.is_abandoned:
        return  # the supervisor does it when this process has ended, which is soon
    end_processes((supervisor.assignment,), set())
    supervisor.close()


def _flush(client: Client) -> None:
    if not client.flush(_FLUSH_TIMEOUT_S):
        _log.warning("what the study recorded is not stored yet; it is kept in %s", client.spool_directory)


def _has_finished_trial(service: StudyService, study: str) -> bool:
    trials = retry_unavailable(lambda _left_s: connect(service.http).trials(study))
    return bool((trials["status"] == Status.FINISHED).any())


def _check_new(provenance: Provenance, name: str) -> None:
    """Refuse a name that the store knows: trials are told apart by their study's name and their number."""
    if name in set(provenance.studies()["study"]):
        raise InputError(f"The store has a study {name!r} already. Choose another name.")


def _deliver(client: Client, study: str, directory: Path, broker: BrokerAddress) -> None:
    """Send what is left in the study's own spools, before its service is stopped."""
    for trial in sorted(directory.glob("trials/*")):
        _deliver_trial(client, study, trial, broker)
    client.close()
    _send(directory / "spool", broker)


def _deliver_trial(client: Client, study: str, trial: Path, broker: BrokerAddress) -> None:
    """Send what a trial whose own process died has left, and say once more that its runs have ended.

    Those that had begun, but were not stored yet when it was first said, are running still.
    """
    spools = [trial / "spool", *trial.glob("hosts/*/spool"), *trial.glob("monitoring/spool")]
    has_left = any(spool_heads(spool) for spool in spools)
    for spool in spools:
        _send(spool, broker)
    if has_left:
        number = trial_number(trial.name)
        outcome = read_outcome(trial.with_name(number)) or Outcome(Status.STOPPED, INTERRUPTED)
        client.emit(TrialClose(f"{study}-{number}", now_us(), outcome.status, outcome.reason))
    if not any(trial.glob("hosts/*/spool")):
        shutil.rmtree(trial / "hosts", ignore_errors=True)


def _send(spool: Path, broker: BrokerAddress) -> None:
    for unsent in send_leftovers(spool, broker):
        _log.warning("provenance is not stored yet; it is kept in %s", spool / unsent)
    if spool.is_dir() and not any(spool.iterdir()):
        spool.rmdir()


def _absolute(path: str | None) -> Path | None:
    """Return a path as trials can use it: they run in other directories."""
    return Path(path).absolute() if path is not None else None


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._") or "study"
