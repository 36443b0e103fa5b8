"""Hosts that are reached by SSH, by real sshd processes on machines of their own."""

import pytest
import yaml

from optiprov.deploy import load_scenario
from optiprov.deploy.providers.static import StaticProvider

from .provider_contract import ProviderContract
from .ssh_machines import SshMachines, require_machines

LAYERS = [{"name": "cloud", "services": [{"name": "Master"}]}, {"name": "edge", "services": [{"name": "W"}]}]


@pytest.fixture(scope="module")
def machines(tmp_path_factory):
    """Where machines are made; each test leaves those that are there as they were."""
    require_machines()
    made = SshMachines(tmp_path_factory.mktemp("machines"))
    yield made
    made.remove()


@pytest.fixture(scope="module")
def pair(machines):
    """Two machines."""
    return machines.make(), machines.make()


@pytest.fixture
def layers(machines, pair):
    """Writes layers_services.yaml for the two machines, or for others."""

    def text(*others, layers=LAYERS, **more):
        testbed = machines.testbed(*(others or pair), **more)
        return yaml.safe_dump({"environment": {"static": testbed}, "layers": layers})

    return text


class TestStaticProvider(ProviderContract):
    """The provider `static` holds the contract, and more."""

    @pytest.fixture
    def provider(self):
        """A provider of hosts that are reached by SSH."""
        return StaticProvider()

    @pytest.fixture
    def scenario(self, write_scenario, layers):
        """Two hosts, on two machines."""
        return load_scenario(write_scenario(layers=layers()))
