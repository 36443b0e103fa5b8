"""The kernel rules hosts in namespaces where it has netem, else our emulator does; both keep to the seam."""

import pytest

from optiprov.deploy.network import choice
from optiprov.deploy.network.base import Link
from optiprov.deploy.network.host_network import HostNetwork
from optiprov.deploy.network.tc import has_netem
from optiprov.errors import DeploymentError

from .conftest import run_on

FIRST, SECOND = "edge.w.1.1", "edge.w.1.2"


@pytest.fixture
def network(deploy_apart):
    """The network of three hosts, and the hosts."""
    deployment = deploy_apart()
    numbers = {host.id: number for number, host in enumerate(deployment.hosts, 1)}
    network = HostNetwork(deployment.id, deployment.directory, deployment._journal, numbers)
    network.provide((), lambda _session: None)
    return network, deployment.hosts


@pytest.mark.parametrize(("has", "kind"), [(True, "tc netem"), (False, "in user space")])
def test_kernel_emulates_where_it_has_netem(has, kind, network, monkeypatch):
    """Rules of both are gone with the namespaces."""
    monkeypatch.setattr(choice, "has_netem", lambda: has)
    emulator = choice.choose_emulator(*network)
    assert (emulator.description, emulator.taking_off) == (kind, None)


def test_kernel_rules_hosts_in_their_namespaces(network):
    """As root of each, which the tasks there need not be; nothing of it is left where it is taken off."""
    made, hosts = network
    emulator = choice.tc_emulator(made, hosts)
    emulator.apply([Link(FIRST, SECOND, rate_bit_s=1e6)])
    shown = "tc class show dev $(ip -o route get {} | sed 's/.* dev \\([^ ]*\\).*/\\1/')"
    assert "rate 1Mbit" in run_on(hosts[0], shown.format(hosts[1].address))
    emulator.apply([])
    assert run_on(hosts[0], shown.format(hosts[1].address)) == ""


def test_kernel_without_netem_is_not_chosen(network):
    """Were it, delays would be refused."""
    if has_netem():
        assert choice.choose_emulator(*network).description == "tc netem"
        return
    with pytest.raises(DeploymentError, match="its kernel lacks what emulates networks"):
        choice.tc_emulator(*network).apply([Link(FIRST, SECOND, delay_s=0.01)])
    assert choice.choose_emulator(*network).description == "in user space"
