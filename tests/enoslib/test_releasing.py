"""Reservations are released, by whoever is left to do so; EnOSlib is given the job of the journal."""

import subprocess

import pytest

from optiprov.deploy import Experiment, load_scenario, reap_abandoned
from optiprov.deploy.journal import Journal, marker_of, read_journal
from optiprov.deploy.providers.g5k import G5kProvider
from optiprov.deploy.providers.releasing import release_reservations
from optiprov.errors import DeploymentError

from .requests import NAME, begun, request_of

LAYERS = """\
environment: {g5k: {cluster: ecotype}}
layers: [{name: cloud, services: [{name: Server}]}]
"""
NODES = ["ecotype-9.nantes.grid5000.fr"]


@pytest.fixture
def scenario(write_scenario):
    """One host."""
    return load_scenario(write_scenario(layers=LAYERS))


@pytest.fixture
def reserve(grid5000, scenario):
    """Reserves as a deployment does, whose hosts are not made then."""
    grid5000.nodes = NODES

    def make(directory, journal):
        provider = G5kProvider()
        provider.machines(scenario.placements, request_of(scenario, directory, journal))
        return provider

    return make


def test_destroyed_hosts_are_released(reserve, grid5000, tmp_path):
    """Also where no host was made; once, and the journal knows it."""
    journal = begun(tmp_path)
    provider = reserve(tmp_path, journal)
    provider.destroy()
    assert grid5000.calls[-1] == ("destroy", NAME)
    assert read_journal(journal.path).reservations == ()
    provider.destroy()
    assert [call[0] for call in grid5000.calls].count("destroy") == 1


def test_another_process_releases_from_the_journal_alone(reserve, grid5000, tmp_path):
    """It makes EnOSlib's configuration anew from what was journalled."""
    journal = begun(tmp_path)
    reserve(tmp_path, journal)
    grid5000.calls.clear()
    release_reservations(Journal(journal.path))
    assert grid5000.calls == [("destroy", NAME)]
    assert grid5000.configuration.machines[0].cluster == "ecotype"


def test_reservation_of_a_killed_owner_is_reaped(reserve, grid5000, tmp_path):
    """The next deployment in the same place ends it, and tries again where the testbed does not answer."""
    directory = tmp_path / "deployment"
    directory.mkdir()
    journal = Journal(directory / "journal.jsonl")
    ended = subprocess.Popen(["true"])
    ended.wait()
    journal.write(
        *("deployment",),
        id=NAME,
        marker=marker_of(NAME),
        owner_pid=ended.pid,
        owner_start=1,
        boot_id="another boot",
    )
    reserve(directory, journal)
    release = grid5000.destroy
    grid5000.destroy = lambda **_: 1 / 0
    assert reap_abandoned(tmp_path) == []
    grid5000.destroy = release
    assert reap_abandoned(tmp_path) == [NAME]
    assert grid5000.calls[-1] == ("destroy", NAME)
    assert read_journal(journal.path).reservations == ()
    assert reap_abandoned(tmp_path) == []


def test_job_of_another_name_is_never_released(grid5000, tmp_path):
    """A journal may hold anything: what does not have the deployment's name is nobody's to kill."""
    journal = begun(tmp_path)
    journal.write("reservation", testbed="g5k", job_name="others-0", configuration={})
    assert read_journal(journal.path).reservations == ()
    release_reservations(journal)
    assert grid5000.calls == []


def test_experiment_cut_off_while_it_reserves_is_destroyed(grid5000, scenario, tmp_path):
    """Nothing is waited for or reserved again; what was journalled is released, and may be tried again."""
    grid5000.nodes = NODES

    def cut_off():
        raise KeyboardInterrupt

    grid5000.wait = cut_off
    experiment = Experiment.create(scenario.directory, None, output=tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        experiment.layers_services()
    release, grid5000.destroy = grid5000.destroy, lambda **_: 1 / 0
    with pytest.raises(DeploymentError, match="is not released"):
        Experiment.destroy_at(experiment.directory)
    grid5000.destroy = release
    grid5000.calls.clear()
    Experiment.destroy_at(experiment.directory)
    (journalled,) = {call[1] for call in grid5000.calls}
    assert [call[0] for call in grid5000.calls] == ["destroy"]
    assert journalled == read_journal(experiment.directory / "journal.jsonl").id
