"""Rules of network.yaml on machines that are reached by SSH, by tc on their kernels."""

import pytest
import yaml

from optiprov.deploy import Experiment
from optiprov.deploy.network.base import Link
from optiprov.deploy.network.tc import TcEmulator, has_netem
from optiprov.errors import DeploymentError

RULE = "networks: [{{src: cloud, dst: edge, {what}, symmetric: true}}]\n"


@pytest.fixture
def linked(pair):
    """Two machines with a route to each other."""
    for machine, other in (pair, pair[::-1]):
        device = machine.interface
        machine.run("ip", "route", "replace", f"{other.address}/32", "dev", device)
    return pair


@pytest.fixture
def experiment(write_scenario, static_layers, linked):  # noqa: ARG001  they have to be linked
    """Makes an experiment on both machines with a rule between them; it is destroyed at the end."""
    made = []

    def make(what):
        scenario = write_scenario(layers=static_layers(), network=RULE.format(what=what))
        made.append(Experiment.create(scenario, None))
        return made[-1]

    yield make
    for one in made:
        one.destroy()


def classes(machine):
    """What tc says of the classes on a machine."""
    return machine.output("tc", "class", "show", "dev", machine.interface)


def test_rates_hold_on_both_machines_and_are_gone_when_destroyed(experiment, linked):
    """The htb has a class for the other machine on each; destroying takes it off, the machines go on."""
    one = experiment("rate: 2mbit")
    one.layers_services()
    one.prepare()
    assert all("rate 2Mbit" in classes(machine) for machine in linked)
    one.destroy()
    assert not any("htb" in classes(machine) for machine in linked)


def test_delay_needs_netem_on_the_machine(experiment, linked):
    """A kernel without netem is told, with what to do; one that has it delays."""
    one = experiment("delay: 20ms")
    one.layers_services()
    if has_netem():
        one.prepare()
        assert "netem" in linked[0].output("tc", "qdisc", "show", "dev", linked[0].interface)
        return
    with pytest.raises(
        DeploymentError, match=r"host cloud.master.1.1: its kernel lacks .* modprobe sch_netem"
    ):
        one.prepare()


def test_hosts_of_one_machine_are_ruled_as_one(write_scenario, static_layers, linked):
    """The rules of one do not take off those of the other; two that differ are refused."""
    layers = yaml.safe_load(
        "[{name: cloud, services: [{name: Master, quantity: 2}]}, {name: edge, services: [{name: Worker}]}]"
    )
    first, second = linked
    for one, server in ((layers[0], first), (layers[1], second)):
        service = one["services"][0]
        service["servers"] = [server.address] * service.get("quantity", 1)
    rule = "networks: [{src: cloud.master.1.1, dst: edge, rate: 3mbit}]\n"
    one = Experiment.create(write_scenario(layers=static_layers(layers=layers), network=rule), None)
    with one.whole("test"):
        one.layers_services()
        one.prepare()
        assert "rate 3Mbit" in classes(first)
        hosts = one._deployment.hosts
        differing = [
            Link(hosts[0].id, hosts[2].id, rate_bit_s=1e6),
            Link(hosts[1].id, hosts[2].id, rate_bit_s=2e6),
        ]
        with pytest.raises(DeploymentError, match="share machines"):
            TcEmulator(hosts).apply(differing)
    one.destroy()
    assert "htb" not in classes(first)
