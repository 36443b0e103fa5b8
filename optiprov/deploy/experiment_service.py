"""The provenance service of an experiment: there where the scenario asks for it, and its dump."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from optiprov.deploy.experiment_state import DATA_DIR
from optiprov.deploy.journal import JOURNAL_NAME, Journal
from optiprov.store.url import without_password

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from optiprov.deploy.deployment import Deployment
    from optiprov.deploy.experiment_state import ExperimentState
    from optiprov.deploy.scenario import Scenario
    from optiprov.deploy.scenario_service import ScenarioService

logger = logging.getLogger(__name__)

DUMP_NAME = "provenance_database.sql"
_SERVICES_VARIABLE = "OPTIPROV_SERVICES_OF"
_SHOWN_PLACES = 3


class ExperimentService:
    """What an experiment does with its provenance service, also where it has none.

    Args:
        directory: The experiment's directory.
        state: Its state.
        scenario: Its scenario.
        dump: Writes the store at an address into a SQL file.

    Attributes:
        mark: What marks its processes where they end with the command that started them, `NAME=value`.
    """

    def __init__(
        self, directory: Path, state: ExperimentState, scenario: Scenario, dump: Callable[[str, Path], None]
    ) -> None:
        self.mark = f"{_SERVICES_VARIABLE}={state.id}"
        self._directory = directory
        self._id = state.id
        self._store = state.store
        self._scenario = scenario
        self._dump = dump
        self._made: ScenarioService | None = None

    @property
    def is_asked_for(self) -> bool:
        """Whether the scenario has a service."""
        return self._scenario.layers_services.provenance is not None or self._scenario.is_monitored

    @property
    def addresses(self) -> dict[str, Any]:
        """Where it is, or was; empty without one."""
        return dict(self._made.addresses) if self._made is not None else {}

    @property
    def store(self) -> str:
        """Its store, as it may be shown."""
        return without_password(self._made.store) if self._made is not None else ""

    def make(self, *, is_whole: bool) -> ScenarioService | None:
        """The service, whether it runs or not; None where the scenario has none.

        Args:
            is_whole: Whether it ends with this process, should that be killed.
        """
        if self._made is None and self.is_asked_for:
            from optiprov.deploy.scenario_service import ScenarioService  # here: few scenarios need it

            self._directory.joinpath(DATA_DIR).mkdir(exist_ok=True)
            name, _, value = self.mark.partition("=")
            self._made = ScenarioService(
                self._id,
                self._directory,
                self._scenario.provenance_service,
                Journal(self._directory / DATA_DIR / JOURNAL_NAME),
                store=self._store,
                environment={name: value} if is_whole else {},
            )
        return self._made

    def start(self, *, is_whole: bool) -> ScenarioService | None:
        """Have it run, and return it; None where the scenario has none.

        Raises:
            WorkError: It does not start.
        """
        service = self.make(is_whole=is_whole)
        if service is not None:
            service.ensure()
        return service

    def back_up(self, deployment: Deployment) -> None:
        """Have what was emitted stored, and write the dump; without a service, tell what waits for one.

        Raises:
            BarrierTimeout: Some of it is not stored in the time allowed.
        """
        if self._made is None:
            _tell_what_waits(deployment.spool_dirs())
            return
        self._made.settle(deployment.spool_dirs())
        self._made.close_runs()
        self._dump(self._made.addresses["http"], deployment.output_dir / DATA_DIR / DUMP_NAME)

    def stop(self) -> None:
        """End it."""
        if self._made is not None:
            self._made.stop()


def _tell_what_waits(spools: Iterable[Path]) -> None:
    """Warn of records that nobody stores: applications emit, and the scenario has no service."""
    used = [spool for spool in spools if spool.is_dir() and any(spool.iterdir())]
    if not used:
        return
    from optiprov.capture.leftover import waiting_clients  # here: few scenarios leave anything

    waiting = {spool: sum(one.records for one in waiting_clients(spool)) for spool in used}
    places = [str(spool) for spool, records in waiting.items() if records]
    if places:
        more = [f"and {len(places) - _SHOWN_PLACES} more"] if len(places) > _SHOWN_PLACES else []
        logger.warning(
            "provenance is not stored (records: %d), since the scenario has no service for it. Have one by "
            "`provenance: {}` in layers_services.yaml and `roles: [provenance]` of what records. It stays, "
            "to be sent by `optiprov spool send DIRECTORY --broker URL`: %s",
            sum(waiting.values()),
            ", ".join([*places[:_SHOWN_PLACES], *more]),
        )
