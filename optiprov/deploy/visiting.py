"""Hosts of an experiment for a look at them, while other commands may work on it."""

from __future__ import annotations

import difflib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from optiprov.deploy.experiment_state import DESTROYED, STATE_NAME, ExperimentState, find_standing
from optiprov.deploy.journal import JOURNAL_NAME, MARKER_VARIABLE, Journal, read_journal
from optiprov.errors import ScenarioError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from optiprov.deploy.providers.base import Host
    from optiprov.deploy.scenario import Scenario

_LISTED = 20


class Visit:
    """An experiment whose hosts are entered, from what its files say; no lock is held, and nothing changed.

    Args:
        place: The experiment's directory, or its scenario's, whose newest one that stands is taken.

    Attributes:
        directory: The experiment's directory.
        hosts: The ids of its hosts that are made, in the order in which they were.

    Raises:
        ScenarioError: There is none, it was destroyed, or it has no hosts.
    """

    def __init__(self, place: Path) -> None:
        directory = place if (place / STATE_NAME).exists() else next(iter(find_standing(place)), None)
        if directory is None:
            raise ScenarioError(
                f"{place}: has no experiment that stands. Deploy one first: optiprov layers-services {place}"
            )
        self.directory = directory.resolve()
        self._state = ExperimentState.read(self.directory)
        if self._state.status == DESTROYED:
            raise ScenarioError(
                f"{directory}: this experiment was destroyed, it has no hosts any more. Deploy another one: "
                f"optiprov layers-services {self._state.scenario}"
            )
        journalled = read_journal(self.directory / JOURNAL_NAME)
        self._made = journalled.hosts if journalled is not None else {}
        self.hosts = list(self._made)
        if not self.hosts:
            raise ScenarioError(
                f"{directory}: has no hosts yet. Go on with it: optiprov layers-services {directory}"
            )

    def find(self, name: str) -> str:
        """The id of the host that is called so, or of the only one whose id has this part.

        Raises:
            ScenarioError: There is none, or several have it.
        """
        wanted = name.lower()
        if wanted in self.hosts:
            return wanted
        # Whole parts first: `edge.worker.1.1` is not meant with `edge.worker.1.10`.
        found = [one for one in self.hosts if f".{wanted}." in f".{one}."]
        found = found or [one for one in self.hosts if wanted in one]
        if len(found) == 1:
            return found[0]
        if found:
            raise ScenarioError(f"{name!r} is a part of several hosts: {_listed(found)}. Give more of it.")
        close = difflib.get_close_matches(wanted, self.hosts, n=1, cutoff=0.4)
        hint = f"Did you mean {close[0]!r}? " if close else ""
        raise ScenarioError(
            f"{self.directory}: has no host {name!r}. {hint}There are: {_listed(self.hosts)}."
        )

    @contextmanager
    def entered(self, host_id: str) -> Iterator[Host]:
        """A host, to run commands on with `shell_command`; it stays as it is.

        Raises:
            ScenarioError: The scenario cannot be used any more, or has another host in its place.
            DeploymentError: The host cannot be entered.
        """
        from optiprov.deploy.loading import load_scenario
        from optiprov.deploy.providers import make_provider
        from optiprov.deploy.providers.base import HostRequest

        state = self._state
        artifacts = Path(state.artifacts) if state.artifacts else None
        scenario = load_scenario(Path(state.scenario), artifacts, provider=state.provider)
        placement = next((one for one in scenario.placements if one.id == host_id), None)
        if placement is None:
            raise ScenarioError(
                f"{scenario.directory}: has no host {host_id} any more, which {self.directory} was deployed "
                "with. Undo the change of layers_services.yaml."
            )
        request = HostRequest(
            scenario.input_dirs,
            self.directory,
            {MARKER_VARIABLE: state.id},
            Journal(self.directory / JOURNAL_NAME),
            client_environment=self._client_environment(scenario),
            made=self._made,
            testbeds=scenario.layers_services.environment,
            is_visit=True,
        )
        provider = make_provider(placement.testbed)
        try:
            (host,) = provider.deploy([placement], request)
            yield host
        finally:
            provider.detach()

    def _client_environment(self, scenario: Scenario) -> dict[str, str]:
        """The variables of hosts that record, as the service was started last; none without one."""
        from optiprov.deploy.experiment_service import ExperimentService

        state = self._state
        asked = ExperimentService(
            self.directory, state, scenario.without(state.without), lambda _store, _path: None
        )
        service = asked.make(is_whole=False)
        if service is None:
            return {}
        service.look()
        return service.client_environment()


def _listed(hosts: Sequence[str]) -> str:
    more = f" and {len(hosts) - _LISTED} more" if len(hosts) > _LISTED else ""
    return ", ".join(hosts[:_LISTED]) + more
