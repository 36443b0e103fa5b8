"""Rules between machines that are reached by SSH: by tc there, and gone when the deployment is."""

import signal
import subprocess
import sys

import pytest
import yaml

from optiprov.deploy import reap_abandoned
from optiprov.deploy.network.base import Link
from optiprov.deploy.network.tc import TcEmulator, has_netem
from optiprov.deploy.network.validation import QUICK
from optiprov.errors import DeploymentError
from tests.waiting import wait_until

RATE = "networks:\n- {src: edge, dst: cloud, rate: 5mbit}\n"
DRIVER = """
import sys, time
from pathlib import Path
from optiprov.deploy import Deployment, load_scenario
Deployment(load_scenario(Path(sys.argv[1])), Path(sys.argv[2])).prepare()
print("prepared", flush=True)
time.sleep(300)
"""


@pytest.fixture(scope="session")
def linked(pair):
    """Both machines, linked to each other."""
    first, second = pair
    inside = ["nsenter", f"--net=/proc/{first._first}/ns/net", "--"]
    veth = ["ip", "link", "add", "x0", "type", "veth", "peer", "name", "x0", "netns", str(second._first)]
    subprocess.run([*inside, *veth], check=True)
    for machine, other in ((first, second), (second, first)):
        machine.run("ip", "link", "set", "x0", "up")
        machine.run("ip", "route", "add", other.address, "dev", "x0")
    return pair


@pytest.fixture
def with_rules(write_scenario, static_layers, linked):
    """Writes a scenario with a rule from the second machine to the first."""
    assert linked

    def write(network=RATE):
        return write_scenario(layers=static_layers(), network=network)

    return write


def rates(machine):
    """What tc has on the link of a machine."""
    shown = subprocess.run(
        machine.inside("tc", "class", "show", "dev", "x0"), capture_output=True, text=True, check=True
    )
    return [line.split(" rate ")[1].split()[0] for line in shown.stdout.splitlines() if "htb f70:" in line]


def test_rate_between_machines_is_applied_measured_and_taken_off(with_rules, linked, deploy):
    """On the interface that leads to the other machine, by root there."""
    deployment = deploy(scenario=with_rules())
    deployment.prepare()
    assert [rates(machine) for machine in linked] == [[], ["5Mbit"]]
    found = {one.name: one.judgement for one in deployment.validate_network(QUICK)}
    assert found["udp_rate"].outcome == "met"
    assert 4e6 < found["udp_rate"].measured <= 5e6
    deployment.remove_network()
    assert rates(linked[1]) == []
    deployment.apply_network()
    assert rates(linked[1]) == ["5Mbit"]
    deployment.finalize()
    assert rates(linked[1]) == []


def test_rules_are_gone_from_machines_when_the_driver_is_killed(with_rules, linked, tmp_path):
    """Kill -9 of what deploys: nobody else is there to take them off."""
    command = [sys.executable, "-c", DRIVER, str(with_rules()), str(tmp_path / "killed")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout.readline() == "prepared\n"
        assert rates(linked[1]) == ["5Mbit"]
        driver.send_signal(signal.SIGKILL)
    wait_until(lambda: rates(linked[1]) == [])
    reap_abandoned(tmp_path)
    assert not any((machine.home / ".optiprov").exists() for machine in linked)


def test_machine_without_netem_is_told_of(with_rules, deploy):
    """The deployment fails with the host, and with what to do there."""
    if has_netem():
        pytest.skip("this kernel has netem")
    deployment = deploy(scenario=with_rules(RATE.replace("rate: 5mbit", "delay: 5ms")))
    with pytest.raises(DeploymentError, match=r"edge\.worker\.1\.1: its kernel lacks .*modprobe sch_netem"):
        deployment.prepare()


def test_hosts_of_one_machine_are_ruled_as_one(write_scenario, static_layers, linked, deploy):
    """The rules of one do not take off those of the other; two that differ are refused."""
    first, second = linked
    layers = yaml.safe_load(
        "[{name: cloud, services: [{name: Master, quantity: 2}]}, {name: edge, services: [{name: Worker}]}]"
    )
    for layer, servers in zip(layers, ([first.address] * 2, [second.address]), strict=True):
        layer["services"][0]["servers"] = servers
    rule = "networks: [{src: cloud.master.1.1, dst: edge, rate: 3mbit}]\n"
    deployment = deploy(scenario=write_scenario(layers=static_layers(layers=layers), network=rule))
    deployment.prepare()
    assert rates(first) == ["3Mbit"]
    one, other, edge = deployment.hosts
    differing = [Link(one.id, edge.id, rate_bit_s=1e6), Link(other.id, edge.id, rate_bit_s=2e6)]
    with pytest.raises(DeploymentError, match="share machines"):
        TcEmulator(deployment.hosts).apply(differing)
