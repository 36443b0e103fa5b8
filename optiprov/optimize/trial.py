"""A trial where it runs: its deployment, and its metrics read back behind the barrier."""

from __future__ import annotations

import json
import math
import os
import shutil
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from optiprov.capture import Client, Settings, spool_heads
from optiprov.deploy import Deployment, load_scenario
from optiprov.errors import DeploymentError, MetricError
from optiprov.optimize.readback import ReadBack
from optiprov.optimize.record import Outcome, write_json, write_trial
from optiprov.records import Status, TrialClose, new_id, now_us
from optiprov.store.remote import RemoteProvenance
from optiprov.wire import BrokerAddress
from optiprov.wire.broker import CA_VARIABLE, PASSWORD_VARIABLE, USER_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from optiprov.store import StoredValue

METRICS = "optiprov_metrics"
"""The key under which the last report has all that the trial read back."""

DONE = "done"
"""The key by which Ray Tune knows that a trial has ended, and asks no scheduler about it."""

Aggregate = Literal["last", "first", "min", "max", "mean", "sum", "count"]

_FOLLOW_WAIT_S = 0.25
_CHECKPOINT = "checkpoint"
_PAUSE = "pause.json"
_CA_FILE = "broker-ca.pem"
_PASSED_ON = ("OPTIPROV_TELEMETRY", "OPTIPROV_ENVIRONMENT")  # from the study's environment to the trials'

_AGGREGATES: dict[str, Callable[[list[float]], float]] = {
    "last": lambda values: values[-1],
    "first": lambda values: values[0],
    "min": min,
    "max": max,
    "mean": lambda values: math.fsum(values) / len(values),
    "sum": math.fsum,
}


@dataclass(frozen=True)
class TrialPlace:
    """Where the trials of a study run and report; the same for all of them.

    Attributes:
        study: the study's name.
        campaign: the study's campaign.
        metric: the objective's name.
        directory: holds a directory for each trial.
        scenario_dir: the scenario that each trial deploys.
        artifacts_dir: its artifacts.
        http: the provenance service's HTTP address.
        mqtt: the broker's address.
        broker_ca: the absolute path of what the broker's certificate is checked against, where it is named.
        seed: the study's seed.
        duration_s: how long an application without an end of its own runs; 0 is for those that end.
        may_pause: whether the scheduler may pause trials, whose applications then go on where they were.
    """

    study: str
    campaign: str | None
    metric: str
    directory: Path
    scenario_dir: Path
    artifacts_dir: Path | None
    http: str
    mqtt: str
    broker_ca: Path | None
    seed: int | None
    duration_s: float
    may_pause: bool = False


@dataclass(frozen=True)
class Pause:
    """Where a trial was paused.

    Attributes:
        directory: what its application has left, a directory for each host.
        launches: how often it was launched until then.
        positions: the last value that was followed of each metric.
    """

    directory: Path
    launches: int
    positions: Mapping[str, tuple[int, int]]

    @classmethod
    def read(cls, directory: Path) -> Pause:
        """Read what `write` has written."""
        said = json.loads((directory / _PAUSE).read_text(encoding="utf-8"))
        positions = {name: (first, second) for name, (first, second) in said["positions"].items()}
        return cls(directory, said["launches"], positions)

    def write(self) -> None:
        """Write it beside what the application has left."""
        self.directory.mkdir(parents=True, exist_ok=True)
        write_json(self.directory / _PAUSE, {"launches": self.launches, "positions": dict(self.positions)})


class TrialStopped(SystemExit):
    """The trial is stopped from outside: by the scheduler, or since the study ends.

    It is no error and no `Exception`, so that only `finally` and `with` see it pass; Ray takes a SystemExit
    of 0 for a graceful end.
    """

    def __init__(self) -> None:
        super().__init__(0)


class Objective(Protocol):
    """What a trial runs: a fresh copy of it for each."""

    @property
    def has_result(self) -> bool:
        """Whether it has reported the trial's objective."""

    def run_trial(self, trial: Trial, send_report: Callable[[dict[str, Any]], None]) -> None:
        """Run one trial to its end; reports go to Ray Tune."""


class Trial:
    """One trial of a study. Owned by the thread that runs the objective; `cancel` is for others.

    Args:
        trial_id: unique in the store.
        number: the trial's directory below the study's.
        config: the configuration that Ray Tune proposed, as plain Python values.
        place: where the study's trials run and report.
        paused: where it goes on from, if it was paused.

    Attributes:
        directory: has its record: configuration, environment, outcome.
        launch_directory: what the application leaves; the same, but for launches after a pause.
    """

    def __init__(
        self,
        trial_id: str,
        number: str,
        config: Mapping[str, Any],
        place: TrialPlace,
        paused: Pause | None = None,
    ) -> None:
        self.id = trial_id
        self.config = dict(config)
        self.place = place
        self.directory = place.directory / number
        self._paused = paused
        self._launches = 1 if paused is None else paused.launches + 1
        self._positions: dict[str, tuple[int, int]] = {} if paused is None else dict(paused.positions)
        self.launch_directory = (
            self.directory if paused is None else place.directory / launch_name(number, self._launches)
        )
        self.outcome = Outcome()
        self._broker = BrokerAddress.parse(place.mqtt)
        if place.broker_ca is not None:
            self._broker = self._broker._replace(ca=str(place.broker_ca))
        self._read_back = ReadBack(trial_id, RemoteProvenance(place.http), self._broker)
        self._deployment: Deployment | None = None
        self._has_launched = False
        self._cancelled = threading.Event()
        self._is_closed = False
        self._is_pausing = False

    @property
    def is_finalized(self) -> bool:
        """Whether the deployment is undone."""
        return self._is_closed

    def cancel(self) -> None:
        """Have the trial's thread stop at its next step, and end its application now."""
        self._cancelled.set()
        if self._deployment is not None:
            self._deployment.stop()

    def pause(self) -> None:
        """As `cancel`, and keep what the application can go on from."""
        self._is_pausing = True
        self.cancel()

    def paused_at(self) -> Path:
        """Say where a trial that has let go of its hosts was paused; return what a later one goes on from."""
        pause = Pause(self.launch_directory / _CHECKPOINT, self._launches, self._positions)
        pause.write()
        return pause.directory

    def check_cancelled(self) -> None:
        """Raise TrialStopped if the trial is cancelled."""
        if self._cancelled.is_set():
            raise TrialStopped

    def prepare(self) -> Path:
        """Deploy the hosts and run the stage prepare."""
        self.check_cancelled()
        if self._deployment is not None:
            raise DeploymentError("prepare() was called before in this trial: one deployment each.")
        place = self.place
        write_trial(self.directory, self.id, place.study, place.seed, self.config)
        self.launch_directory.mkdir(exist_ok=True)
        nothing_yet = self.launch_directory / _CHECKPOINT
        checkpoints = nothing_yet if self._paused is None else self._paused.directory
        self._deployment = Deployment(
            load_scenario(place.scenario_dir, place.artifacts_dir),
            self.launch_directory,
            environment=self._environment(),
            variables={"optimization_config": self.config},
            deployment_id=f"{self.id}-{new_id()}",  # its processes are found by it: unique on this machine
            is_told=True,  # by the study
            checkpoints=checkpoints if place.may_pause else None,
        )
        try:
            return self._deployment.prepare()
        except DeploymentError:
            self.check_cancelled()
            raise

    def launch(self, config: Mapping[str, Any], *, wait: bool) -> Path:
        """Run the stage launch with a configuration; the scenario's walltime is its limit."""
        self.check_cancelled()
        deployment = self._deployment
        if deployment is None:
            raise DeploymentError("launch() comes after prepare().")
        self._has_launched = True
        try:
            return deployment.launch(
                dict(config),
                wait=wait,
                duration_s=self.place.duration_s,
                timeout_s=deployment.scenario.walltime_s,
                fails_fast=True,
            )
        except DeploymentError:
            self.check_cancelled()
            raise

    def finalize(self) -> Path:
        """Drain the hosts' spools, run the stage finalize, end what still runs, and drain what that left.

        Each of these is done, whichever of the others fails.
        """
        if self._deployment is not None and not self._is_closed:
            self._is_closed = True
            with ExitStack() as last_to_first:
                last_to_first.callback(self._remove_hosts)
                last_to_first.callback(self._close_runs)
                last_to_first.callback(self.settle)
                last_to_first.callback(self._deployment.finalize)
                if self._is_pausing:
                    last_to_first.callback(
                        self._deployment.fetch_checkpoints, self.launch_directory / _CHECKPOINT
                    )
                self.settle()
        return self.launch_directory

    def close(self) -> None:
        """Finalize, and let go of the service."""
        try:
            self.finalize()
        finally:
            self._read_back.close()

    def settle(self) -> None:
        """Pass the barrier: what the trial's processes have emitted until now is stored."""
        self._read_back.settle(self._deployment.spool_dirs() if self._deployment is not None else [])

    def metric(self, name: str, agg: Aggregate) -> float:
        """Return an aggregate of what the trial has emitted under `dataset.attribute`, behind the barrier."""
        if agg != "count" and agg not in _AGGREGATES:
            raise MetricError(f"agg is one of {', '.join(_AGGREGATES)}, count, got {agg!r}.")
        self.settle()
        values = self._values(name)
        if agg == "count":
            result = float(len(values))
        else:
            result = float(_AGGREGATES[agg]([self._number(value.value, name) for value in values]))
        self.outcome.metrics[name] = result
        return result

    def follow(self, name: str) -> Iterator[StoredValue]:
        """Yield the values of `dataset.attribute` as they are stored, until the application has ended.

        After a pause, those that were not yielded before it.
        """
        position = (0, -1) if self._paused is None else self._paused.positions.get(name, (0, -1))
        while True:
            self.check_cancelled()
            deployment = self._deployment
            if deployment is None or not self._has_launched:
                raise DeploymentError("follow() comes after launch(..., wait=False).")
            has_ended = deployment.has_ended()
            if has_ended:
                self.settle()
            commit_id = self._read_back.commit_id()
            for value in self._values_so_far(name, position):
                self._positions[name] = position = value.position
                yield value
            if has_ended:
                break
            self._read_back.wait_commit(commit_id, _FOLLOW_WAIT_S)
        self.check_cancelled()
        deployment.wait(0)
        if position[0] == 0:
            self._values(name)

    def _values_so_far(self, name: str, position: tuple[int, int]) -> list[StoredValue]:
        try:
            return self._read_back.values(name, position)
        except MetricError:
            return []  # nothing of this name yet; where it stays so, follow says it at the end

    def _values(self, name: str) -> list[StoredValue]:
        """Return all values of a metric; there is one at least.

        Raises:
            MetricError: there is none; the message says what there is, and where to look.
        """
        where = (
            f"Its output is in {self.launch_directory / 'logs'}."
            if self._has_launched
            else "It was not launched."
        )
        try:
            values = self._read_back.values(name)
        except MetricError as error:
            raise MetricError(f"trial {self.id} has written no {name}: {error} {where}") from None
        if not values:
            raise MetricError(f"trial {self.id} has written no {name}. {where}")
        return values

    def _number(self, value: Any, name: str) -> float:
        if not isinstance(value, (int, float)):
            raise MetricError(
                f"trial {self.id} has written {name} = {value!r}, not a number; "
                "prov.rejected has what the store could not take."
            )
        if not math.isfinite(value):
            raise MetricError(f"trial {self.id} has written {name} = {value}, not a finite number.")
        return float(value)

    def _environment(self) -> dict[str, str]:
        given = {
            "OPTIPROV_TRIAL_ID": self.id,
            "OPTIPROV_STUDY": self.place.study,
            "OPTIPROV_CAMPAIGN": self.place.campaign or "",
            "OPTIPROV_BROKER": self.place.mqtt,
            "PROVLIGHT_SERVER_URL": f"{self._broker.host}:{self._broker.port}",
            "PROVLIGHT_SERVER_TOPIC": self.place.study,
        }
        given |= {name: os.environ.get(name, "") for name in _PASSED_ON}
        given |= self._credentials()
        return {name: value for name, value in given.items() if value}

    def _credentials(self) -> dict[str, str]:
        """Return the variables that let the application log in with the broker.

        In the environment only: no file of the trial and no command line has them. The CA, which is no
        secret, is copied to where hosts see it.
        """
        given = {USER_VARIABLE: self._broker.user or "", PASSWORD_VARIABLE: self._broker.password or ""}
        if self._broker.ca is not None:
            seen = self.launch_directory / _CA_FILE
            shutil.copyfile(self._broker.ca, seen)
            given[CA_VARIABLE] = str(seen)
        return given

    def _close_runs(self) -> None:
        """Say that the trial's processes have ended, for runs that did not say so themselves."""
        status = self.outcome.status if self.outcome.status in Status.ENDS else Status.STOPPED
        spool = self.directory / "spool"
        place = self.place
        settings = Settings(spool, self._broker, place.study, self.id, place.study, place.campaign)
        client = Client(settings)
        client.emit(TrialClose(self.id, now_us(), status, self.outcome.reason))
        client.close()
        if spool.is_dir() and not any(spool.iterdir()):
            spool.rmdir()

    def _remove_hosts(self) -> None:
        """Remove what is left of the hosts' directories once nothing in their spools is unsent."""
        spools = self._deployment.spool_dirs() if self._deployment is not None else []
        if not any(spool_heads(spool) for spool in spools):
            shutil.rmtree(self.launch_directory / "hosts", ignore_errors=True)


def launch_name(number: str, launch: int) -> str:
    """The name of the directory of a later launch of a trial.

    Example:
        >>> launch_name("003", 2), trial_number("003.2"), trial_number("003")
        ('003.2', '003', '003')
    """
    return f"{number}.{launch}"


def trial_number(name: str) -> str:
    """The number of the trial that a directory belongs to."""
    return name.partition(".")[0]
