"""EnOSlib's own provider Static with real sshd processes: reserved through it, and then hosts as others."""

import subprocess

import enoslib
import pytest
import yaml

from optiprov.deploy import Experiment, load_scenario
from optiprov.deploy.journal import read_journal
from optiprov.deploy.models.environment import Grid5000
from optiprov.deploy.providers import PROVIDERS
from optiprov.deploy.providers.enoslib import EnoslibProvider, job_name
from tests.deploy.provider_contract import ProviderContract

LAYERS = {
    "environment": {"g5k": {"cluster": "any"}},
    "layers": [
        {"name": "cloud", "services": [{"name": "Master"}]},
        {"name": "edge", "services": [{"name": "Worker"}]},
    ],
}


class StaticOfEnoslib(EnoslibProvider):
    """Machines that are there, as EnOSlib's Static has them.

    Attributes:
        machines_there: The machines.
        key: The key that all of them take.
    """

    testbed = "g5k"
    machines_there = ()
    key = ""

    def configuration(self, groups, request):
        """One machine a group, in order."""
        configuration = enoslib.StaticConf.from_settings(job_name=job_name(request, Grid5000()))
        for one, machine in zip(groups, self.machines_there, strict=True):
            configuration.add_machine(
                roles=[one.role], address=machine.address, user="root", port=22, keyfile=str(self.key)
            )
        return configuration

    def read_configuration(self, journalled):
        """The same again."""
        return enoslib.StaticConf.from_dictionary(journalled)

    def reserving(self, configuration):
        """EnOSlib's Static."""
        return enoslib.Static(configuration)


WORKFLOW = """\
- hosts: cloud
  prepare:
  - copy: {src: greeting, dest: greeting}
- hosts: "*"
  launch:
  - shell: cat greeting; hostname > name; echo $OPTIPROV_DEPLOYMENT
    ignore_errors: true
  finalize:
  - fetch: {src: name, dest: name}
"""


def test_experiment_runs_on_hosts_of_enoslib_and_releases_them(
    machines, pair, write_scenario, tmp_path, monkeypatch
):
    """Step by step, each going on from the journal; nothing is left there, and it is released."""
    StaticOfEnoslib.machines_there, StaticOfEnoslib.key = pair, machines.key
    monkeypatch.setitem(PROVIDERS, "g5k", f"{__name__}:StaticOfEnoslib")
    scenario = write_scenario(WORKFLOW, yaml.safe_dump(LAYERS))
    (scenario / "greeting").write_text("from here")
    experiment = Experiment.create(scenario, None, output=tmp_path / "out")
    experiment.layers_services()
    journal = experiment.directory / "journal.jsonl"
    (reservation,) = read_journal(journal).reservations
    assert reservation["job_name"] == read_journal(journal).id
    for step in ("prepare", "launch", "finalize"):
        getattr(Experiment.open(experiment.directory), step)()
    fetched = sorted((experiment.directory / "fetched").glob("*/name"))
    assert [path.parent.name for path in fetched] == ["cloud.master.1.1", "edge.worker.1.1"]
    output = "".join(path.read_text() for path in (experiment.directory / "logs").glob("cloud*/launch*.out"))
    assert output == f"from here{read_journal(journal).id}\n"
    Experiment.destroy_at(experiment.directory)
    assert read_journal(journal).reservations == ()
    assert not any((machine.home / ".optiprov").exists() for machine in pair)


class TestStaticOfEnoslib(ProviderContract):
    """Hosts that EnOSlib gave hold the contract of all others, with its tasks and files."""

    @pytest.fixture
    def provider(self, machines, pair):
        """A provider of hosts on two machines that EnOSlib knows."""
        StaticOfEnoslib.machines_there, StaticOfEnoslib.key = pair, machines.key
        return StaticOfEnoslib()

    @pytest.fixture
    def scenario(self, write_scenario):
        """Two hosts."""
        return load_scenario(write_scenario(layers=yaml.safe_dump(LAYERS)))

    def test_host_keys_are_learned_once_and_checked_then(self, hosts, pair, tmp_path):
        """Into the deployment's own file: the keys of machines that were just installed are nobody's yet."""
        for machine in pair:
            asked = ["ssh-keygen", "-F", machine.address, "-f", str(tmp_path / "known_hosts")]
            assert (
                machine.known_host.split()[2] in subprocess.run(asked, capture_output=True, text=True).stdout
            )
        assert hosts[0].connection.machine.address == pair[0].address
        assert read_journal(tmp_path / "journal.jsonl") is None  # that of the contract begins no deployment
