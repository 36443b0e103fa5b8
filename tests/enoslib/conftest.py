"""What tests with EnOSlib share; they have an environment of their own (`make test-testbeds`)."""

import enoslib.infra.enos_g5k.configuration
import enoslib.infra.enos_g5k.objects
import enoslib.infra.enos_g5k.provider
import enoslib.infra.enos_iotlab.objects
import enoslib.infra.enos_iotlab.provider
import pytest
from enoslib.infra.enos_g5k.constants import NATURE_PROD, PROD_VLAN_ID
from enoslib.infra.enos_g5k.driver import Driver
from enoslib.infra.enos_g5k.g5k_api_utils import OarNetwork

from tests.deploy.conftest import machines, pair, write_scenario

__all__ = ["machines", "pair", "write_scenario"]

G5K, IOTLAB = enoslib.infra.enos_g5k, enoslib.infra.enos_iotlab
SITES = {"ecotype": "nantes", "paravance": "rennes"}


class Grid5000(Driver):
    """EnOSlib's driver of Grid'5000, with what its API would be asked noted down, in order.

    Attributes:
        calls: What was asked for.
        nodes: The machines that a reservation gets.
    """

    def __init__(self, calls, nodes):
        super().__init__()
        self.calls, self.nodes = calls, nodes
        self.configuration = None
        self.reservation_date = None

    def reserve(self, **_kwargs):
        """Note it."""
        self.calls.append(("reserve", self.configuration.job_name))

    def wait(self):
        """Note it."""
        self.calls.append(("wait", self.configuration.job_name))

    def resources(self):
        """The machines, and the network that each site has."""
        sites = {node.split(".")[1] for node in self.nodes}
        return list(self.nodes), [OarNetwork(site, NATURE_PROD, PROD_VLAN_ID) for site in sites]

    def destroy(self, wait=False):
        """Note it."""
        assert wait
        self.calls.append(("destroy", self.configuration.job_name))

    def get_jobs(self):
        """Note what is asked of the job's firewall."""
        return [_Job(self)]

    def get_user(self):
        """The user's name."""
        return "login"


class _Job:
    uid = 1

    def __init__(self, driver):
        self.assigned_nodes = driver.nodes
        self.firewall = self
        self._calls = driver.calls

    def create(self, rules):
        """Note the rules."""
        self._calls.extend(("firewall", rule) for rule in rules)


@pytest.fixture
def grid5000(monkeypatch):
    """Grid'5000, as far as EnOSlib asks its API and its hosts; see `Grid5000`."""
    driver = Grid5000([], [])

    def get_driver(configuration):
        driver.configuration = configuration
        return driver

    def run(command, *_roles, roles=(), **_options):
        driver.calls.append(("run", command, len(roles or _roles[0])))
        return []

    monkeypatch.setattr(G5K.configuration, "get_cluster_site", SITES.__getitem__)
    monkeypatch.setattr(G5K.configuration, "is_exotic_cluster", lambda _machine: False)
    monkeypatch.setattr(G5K.provider, "get_driver", get_driver)
    monkeypatch.setattr(G5K.provider, "run", run)
    monkeypatch.setattr(enoslib, "run", run)
    monkeypatch.setattr(G5K.objects, "get_api_username", lambda: "login")
    monkeypatch.setattr(G5K.objects, "inside_g5k", lambda: False)
    monkeypatch.setattr(G5K.objects.G5kHost, "mirror_state", lambda _host: None)
    monkeypatch.setattr(G5K.objects.G5kProdNetwork, "to_enos", lambda network: (network.roles, []))
    return driver


class IotLab:
    """EnOSlib's client of FIT IoT-LAB, with what the API would be asked noted down, in order.

    Attributes:
        calls: What was asked for.
        nodes: The boards that a reservation gets.
    """

    def __init__(self):
        self.calls, self.nodes = [], []

    def get_or_create_resources(self, name, walltime, machines, start_time):
        """Note it."""
        del start_time
        self.calls.append(("reserve", name, walltime, [machine.to_dict() for machine in machines]))

    def wait_experiment(self):
        """Note it."""
        self.calls.append(("wait",))

    def get_nodes(self):
        """The boards as the API describes them."""
        found = []
        for node in self.nodes:
            site, archi = node.split(".")[1], {"a8": "a8:at86rf231", "rpi3": "rpi3:at86rf233"}
            found.append(
                {"network_address": node, "site": site, "uid": "", "archi": archi[node.partition("-")[0]]}
            )
        return found

    def wait_ssh(self, addresses):
        """Note it."""
        self.calls.append(("boot", sorted(addresses)))

    def destroy(self, name, profiles, wait=False):
        """Note it."""
        assert (profiles, wait) == ([], True)
        self.calls.append(("destroy", name))


@pytest.fixture
def iotlab(monkeypatch):
    """FIT IoT-LAB, as far as EnOSlib asks its API; see `IotLab`."""
    client = IotLab()
    monkeypatch.setattr(IOTLAB.provider, "IotlabAPI", lambda: client)
    return client
