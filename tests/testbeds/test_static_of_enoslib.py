"""EnOSlib's own provider Static with real sshd processes: reserved through it, and then hosts as others."""

import subprocess

import enoslib
import pytest
import yaml

from optiprov.deploy import load_scenario
from optiprov.deploy.journal import read_journal
from optiprov.deploy.models.environment import Grid5000
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
