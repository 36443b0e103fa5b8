"""The state of an experiment, in plain files of its directory, and who works on it."""

from __future__ import annotations

import fcntl
import json
import logging
import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from optiprov.deploy.journal import JOURNAL_NAME, read_journal
from optiprov.deploy.scenario import LAYERS_SERVICES
from optiprov.errors import DeploymentError, ScenarioError
from optiprov.store.url import without_password

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from optiprov.deploy.scenario import Scenario

logger = logging.getLogger(__name__)

DATA_DIR = "provenance-data"
STATE_NAME = "experiment.json"
LOCK_NAME = "experiment.lock"
NAME_FORMAT = "%Y%m%d-%H%M%S"

DEPLOYING, DEPLOYED, DESTROYED = "deploying", "deployed", "destroyed"


@dataclass
class ExperimentState:
    """What the commands that work on an experiment, each a process of its own, know of it.

    Attributes:
        id: What names its deployment.
        scenario: The scenario's directory.
        artifacts: The artifacts' directory, None for that of the scenario.
        provider: Whose hosts all services get, None for those of the testbeds.
        store: The store or service in place of a file of the experiment's own.
        without: Keys that are left out.
        repeat: Which repetition it is, from 1.
        status: `deploying`, `deployed` or `destroyed`.
        invocations: The commands that worked on it, in order: what, when, and how they ended.
    """

    id: str
    scenario: str
    artifacts: str | None
    provider: str | None = None
    store: str | None = None
    without: Sequence[str] = ()
    repeat: int = 1
    status: str = DEPLOYING
    invocations: list[dict[str, Any]] = field(default_factory=list)

    @property
    def was_cut_off(self) -> bool:
        """Whether deploying was begun, which is noted by who has the lock, and did not end."""
        return self.status == DEPLOYING and bool(self.invocations)

    @classmethod
    def read(cls, directory: Path) -> ExperimentState:
        """Read the state.

        Raises:
            ScenarioError: The directory holds no experiment.
        """
        path = directory / STATE_NAME
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise ScenarioError(f"{path}: holds no experiment: {error}. Deploy it anew.") from error

    def require_same(self, directory: Path, given: Mapping[str, Any]) -> None:
        """Refuse to go on with other options than those with which it was begun; None is any.

        Raises:
            ScenarioError: Some are others; the message has all of them.
        """
        differing = [
            f"{name}: begun with {_shown(own)}, got {_shown(value)}"
            for name, value in given.items()
            if value is not None and _shown(own := getattr(self, name)) != _shown(value)
        ]
        if differing:
            raise ScenarioError(
                f"{directory}: deploying it was cut off, and was begun otherwise ({'; '.join(differing)}). "
                f"Leave these options out to go on, or remove it: optiprov destroy {directory}"
            )

    def write(self, directory: Path) -> None:
        """Write the state; whoever reads it sees this one or the one before, whole."""
        path = directory / STATE_NAME
        unfinished = path.with_name(f".{path.name}.part")
        # A store's URL may have a password in it.
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(json.dumps(vars(self), indent=1))
        unfinished.replace(path)


def _shown(value: Any) -> str:
    """An option as a message may have it: a store's URL may have a password in it."""
    if value is None or isinstance(value, str):
        return "none" if value is None else repr(without_password(value))
    return ", ".join(sorted(value)) or "none"


def new_directory(parent: Path) -> Path:
    """Make a directory named by the time (E2Clab's YYYYmmdd-HHMMSS); `-2` and so on where it is taken.

    Raises:
        ScenarioError: It cannot be made.
    """
    name = datetime.now().astimezone().strftime(NAME_FORMAT)
    for number in range(1, 10_000):
        directory = parent / (name if number == 1 else f"{name}-{number}")
        try:
            directory.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise ScenarioError(
                f"{directory}: cannot be made: {error.strerror}. Give another place with --output."
            ) from error
        return directory
    raise ScenarioError(
        f"{parent}: has too many experiments of one second. Give another place with --output."
    )


def find_experiment(place: Path, *, scenario: Path | None = None) -> Path | None:
    """The experiment that a directory is, or the newest one below it; None where there is none.

    One below it whose state cannot be read (a power cut may leave an empty file) is passed over.

    Args:
        place: The directory.
        scenario: The one whose experiments count, where several have theirs below the directory.
    """
    if (place / STATE_NAME).exists():
        return place
    below = [path.parent for path in place.glob(f"*/{STATE_NAME}")]
    for directory in sorted(below, key=_by_time, reverse=True):
        try:
            state = ExperimentState.read(directory)
        except ScenarioError as error:
            logger.warning("passed over: %s `optiprov destroy %s` removes what it left.", error, directory)
            continue
        if scenario is None or Path(state.scenario) == scenario.resolve():
            return directory
    return None


def find_standing(place: Path) -> list[Path]:
    """The experiments below a directory that are not destroyed, the newest first."""
    standing = []
    for path in place.glob(f"*/{STATE_NAME}"):
        with suppress(ScenarioError):
            if ExperimentState.read(path.parent).status != DESTROYED:
                standing.append(path.parent)
    return sorted(standing, key=_by_time, reverse=True)


def find_cut_off(scenario: Path, place: Path) -> Path | None:
    """The newest experiment of a scenario whose deploying was cut off, and that nobody works on; else None.

    Args:
        scenario: The scenario's directory, or that of the experiment itself.
        place: The directory in which the scenario's experiments are.
    """
    directory: Path | None = scenario
    if not (scenario / STATE_NAME).exists():
        directory = find_experiment(place, scenario=scenario)
        if directory is not None and is_in_use(directory):
            return None
    return directory if directory is not None and ExperimentState.read(directory).was_cut_off else None


def is_in_use(directory: Path) -> bool:
    """Whether a command works on an experiment."""
    try:
        with (directory / LOCK_NAME).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def require_same_hosts(directory: Path, scenario: Scenario) -> None:
    """Refuse hosts that are others than those that were deployed: layers_services.yaml was edited.

    Raises:
        ScenarioError: They are; the message tells which.
    """
    journalled = read_journal(directory / JOURNAL_NAME)
    deployed = set(journalled.hosts) if journalled is not None else set()
    asked = {placement.id for placement in scenario.placements}
    if asked != deployed:
        added, removed = sorted(asked - deployed), sorted(deployed - asked)
        changes = f"added: {', '.join(added) or 'none'}; removed: {', '.join(removed) or 'none'}"
        raise ScenarioError(
            f"{scenario.directory / LAYERS_SERVICES}:1: has changed since the hosts of {directory} were "
            f"deployed ({changes}). Undo the change, or destroy the experiment and deploy another one."
        )


def _by_time(directory: Path) -> tuple[str, int]:
    name, _, number = directory.name.partition("-")[2].partition("-")
    return f"{directory.name.partition('-')[0]}-{name}", int(number) if number.isdigit() else 1


@contextmanager
def locked(directory: Path, command: str) -> Iterator[None]:
    """Work on an experiment, one process at a time; the kernel lets go of it if that dies.

    Raises:
        DeploymentError: Another process works on it; the message says which.
    """
    with (directory / LOCK_NAME).open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DeploymentError(
                f"{directory} is in use by {_holder(file)}. Wait until that has ended, or stop it."
            ) from None
        file.seek(0)
        file.truncate()
        file.write(f"`optiprov {command}` (process {os.getpid()}, since {now()})")
        file.flush()
        yield


def now() -> str:
    """The present time, UTC, as the files have it."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def _holder(file: TextIO) -> str:
    file.seek(0)
    return file.read() or "another process"
