"""Destroys an experiment from its own files alone, where its scenario cannot be used any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optiprov.deploy.experiment_state import DESTROYED, ExperimentState, locked
from optiprov.deploy.journal import JOURNAL_NAME, Journal, marker_of, read_journal
from optiprov.deploy.monitoring import HostMonitor
from optiprov.deploy.providers.local import remove_directory
from optiprov.deploy.reservations import Reservations
from optiprov.deploy.watchdog import end_processes, not_recycled
from optiprov.errors import ScenarioError

if TYPE_CHECKING:
    from pathlib import Path


def destroy_remains(directory: Path) -> None:
    """End all that runs of an experiment and remove its hosts; what was not stored stays in their spools.

    Where its state cannot be read, its journal tells what it is called.

    Raises:
        DeploymentError: Another process works on it.
        ScenarioError: Neither its state nor its journal can be read.
    """
    with locked(directory, "destroy"):
        state = _state(directory)
        remove_remains(directory, state.id)
        state.status = DESTROYED
        state.write(directory)


def remove_remains(directory: Path, deployment_id: str) -> None:
    """End the processes of a deployment and remove its hosts, of which there need not be a journal.

    Raises:
        DeploymentError: Machines that were reserved cannot be released.
    """
    from optiprov.deploy.models import ProvenanceService
    from optiprov.deploy.scenario_service import ScenarioService

    journal = Journal(directory / JOURNAL_NAME)
    journalled = read_journal(journal.path)
    sessions = not_recycled(journalled.sessions_of_this_boot()) if journalled is not None else set()
    end_processes((marker_of(deployment_id),), sessions)
    if journalled is not None and journalled.has_network:
        from optiprov.deploy.network.host_network import NETWORK_DIR, end_network, remove_network_directory

        end_network(deployment_id)
        remove_network_directory(directory / NETWORK_DIR)
    HostMonitor(deployment_id, directory, journal).stop()
    ScenarioService(deployment_id, directory, ProvenanceService(), journal).stop()
    hosts = directory / "hosts"  # all hosts of this machine lie there
    for place in sorted(hosts.iterdir()) if hosts.is_dir() else ():
        remove_directory(place)
    Reservations(journal.path).clear()
    remove_left(directory)


def remove_left(directory: Path) -> None:
    """Remove what a deployment that has ended left on machines that were away then; what stays is logged."""
    journal = Journal(directory / JOURNAL_NAME)
    journalled = read_journal(journal.path)
    if journalled is None or journalled.is_closed:
        return
    is_all_gone = True
    if journalled.machines:
        from optiprov.deploy.providers.ssh.removal import remove_remaining  # few deployments have any

        is_all_gone = remove_remaining(journalled, directory)
    if journalled.reservations:
        from optiprov.deploy.providers.releasing import release_reservations  # as above

        release_reservations(journal)
        is_all_gone = True  # what could not be removed is gone with the machines
    if is_all_gone:
        journal.write("finalized")


def _state(directory: Path) -> ExperimentState:
    try:
        return ExperimentState.read(directory)
    except ScenarioError:
        journalled = read_journal(directory / JOURNAL_NAME)
        if journalled is None:
            raise
        return ExperimentState(journalled.id, str(directory.parent), None)
