"""Destroys an experiment from its own files alone, where its scenario cannot be used any more."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from optiprov.deploy.experiment_state import DESTROYED, ExperimentState, locked
from optiprov.deploy.journal import JOURNAL_NAME, Journal, marker_of, read_journal
from optiprov.deploy.models import ProvenanceService
from optiprov.deploy.monitoring import HostMonitor
from optiprov.deploy.providers.local import remove_directory
from optiprov.deploy.scenario_service import ScenarioService
from optiprov.deploy.watchdog import end_processes, not_recycled

if TYPE_CHECKING:
    from optiprov.deploy.journal import Journalled


def destroy_remains(directory: Path) -> None:
    """End all that runs of an experiment and remove its hosts; what was not stored stays in their spools.

    Raises:
        DeploymentError: Another process works on it.
        ScenarioError: The directory holds no experiment.
    """
    with locked(directory, "destroy"):
        state = ExperimentState.read(directory)
        journal = Journal(directory / JOURNAL_NAME)
        journalled = read_journal(journal.path)
        sessions = not_recycled(journalled.sessions_of_this_boot()) if journalled is not None else set()
        end_processes((marker_of(state.id),), sessions)
        HostMonitor(state.id, directory, journal).stop()
        ScenarioService(state.id, directory, ProvenanceService(), journal).stop()
        if journalled is not None:
            _remove_hosts(directory, journalled)
            journal.write("finalized")
        state.status = DESTROYED
        state.write(directory)


def _remove_hosts(directory: Path, journalled: Journalled) -> None:
    """Remove the hosts of this machine, which lie below the experiment's directory."""
    for host in journalled.hosts.values():
        place = Path(str(host.get("directory", "")))
        if place.parent == directory / "hosts":
            remove_directory(place)
