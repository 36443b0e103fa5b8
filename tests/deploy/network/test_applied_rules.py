"""When rules are applied, changed and taken off in the life of a deployment."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from optiprov.deploy import Deployment, load_scenario
from optiprov.deploy.journal import marker_of
from optiprov.deploy.network.base import NetworkEmulator
from optiprov.deploy.network.state import NetworkState
from optiprov.deploy.network.validation import Effort
from optiprov.deploy.providers import PROVIDERS
from optiprov.deploy.providers.local import LocalProvider
from optiprov.deploy.watchdog import end_processes
from optiprov.errors import DeploymentError
from tests.deploy.conftest import LAYERS

FIXED = "networks:\n- {src: edge, dst: cloud, delay: 10ms, symmetric: true}\n"
CHOSEN = FIXED + "- {src: edge, dst: cloud, delay: '{{ optimization_config.delay_ms }}ms'}\n"
MASTER, WORKER = "cloud.master.1.1", "edge.worker.1.1"


class Recorder(NetworkEmulator):
    """An emulator that only notes what it is asked for."""

    description = "notes"
    taking_off = "echo off >> ../../../off"

    def __init__(self):
        self.applied = []
        self.fails = False

    def apply(self, links):
        """Note the links."""
        if self.fails:
            raise DeploymentError("the host is gone")
        self.applied.append({(link.source, link.destination): link.delay_s for link in links})


class ApartProvider(LocalProvider):
    """Hosts with addresses of their own, of the loopback, and an emulator that notes."""

    recorder = None

    def deploy(self, placements, request):
        """The hosts, each with an address."""
        hosts = super().deploy(placements, replace(request, has_links=False))
        for number, host in enumerate(hosts, 2):
            host.address = f"127.0.0.{number}"
        return hosts

    def emulator(self):
        """The one of the test."""
        return self.recorder


@pytest.fixture
def recorder(monkeypatch):
    """What is asked for of the emulator of hosts with addresses of their own, on the testbed `local`."""
    recorder = Recorder()

    monkeypatch.setitem(PROVIDERS, "local", f"{__name__}:ApartProvider")
    monkeypatch.setattr(ApartProvider, "recorder", recorder)
    return recorder


@pytest.fixture
def with_rules(write_scenario, deploy):
    """Makes a deployment of a scenario with rules."""

    def make(network=FIXED, layers=LAYERS, **arguments):
        return deploy(scenario=write_scenario(network=network, layers=layers), **arguments)

    return make


def test_rules_are_applied_before_prepare_and_noted(with_rules, recorder):
    """Both directions; the file says what is emulated by what, and the journal that it was going to be."""
    deployment = with_rules()
    deployment.prepare()
    assert recorder.applied == [{(MASTER, WORKER): 0.01, (WORKER, MASTER): 0.01}]
    state = json.loads((deployment.directory / "network.json").read_text())
    assert state["links"][0] == {
        "source": MASTER,
        "destination": WORKER,
        "delay_s": 0.01,
        "rate_bit_s": None,
        "loss_share": 0.0,
        "rules": [2],
        "emulator": "notes",
    }
    assert (state["is_changing"], state["not_emulated"]) == (False, [])
    assert '"event": "links"' in (deployment.directory / "journal.jsonl").read_text()


def test_launch_changes_what_its_configuration_chooses(with_rules, recorder):
    """On the same hosts; nothing is done where nothing changes."""
    deployment = with_rules(CHOSEN)
    deployment.prepare()
    for delay_ms in (28, 28, 5):
        deployment.launch({"delay_ms": delay_ms})
    back = {(MASTER, WORKER): 0.01}
    there = [{(WORKER, MASTER): delay_s} | back for delay_s in (0.01, 0.028, 0.005)]
    assert recorder.applied == there
    assert NetworkState.read(deployment.directory).links[1]["rules"] == [2, 3]


def test_trial_applies_its_configuration_before_prepare(with_rules, recorder):
    """As an optimization deploys: what is prepared is downloaded over the trial's network."""
    deployment = with_rules(CHOSEN, variables={"optimization_config": {"delay_ms": 28}})
    deployment.prepare()
    deployment.launch({"delay_ms": 28})
    assert recorder.applied == [{(MASTER, WORKER): 0.01, (WORKER, MASTER): 0.028}]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, r"network\.yaml:3: networks\.delay: .* cannot be rendered: key 'delay_ms' is not"),
        ({"delay_ms": "x"}, r"network\.yaml:3: networks\.delay: .* is rendered: got 'xms', expected a time"),
    ],
)
def test_launch_that_gives_a_rule_nothing_to_use_fails(with_rules, recorder, config, said):
    """Before any task runs, with line, key and value."""
    deployment = with_rules(CHOSEN)
    deployment.prepare()
    with pytest.raises(DeploymentError, match=said):
        deployment.launch(config)
    assert len(recorder.applied) == 1
    deployment.launch({"delay_ms": 1})


def test_removed_rules_stay_off_until_they_are_asked_for(with_rules, recorder):
    """Launches go on without them, in this process and in others."""
    deployment = with_rules(is_detached=True)
    deployment.prepare()
    deployment.remove_network()
    deployment.launch()
    assert NetworkState.read(deployment.directory) == NetworkState(is_removed=True)
    deployment.detach()
    other = with_rules(directory=deployment.directory, deployment_id=deployment.id, is_detached=True)
    other.attach()
    other.launch()
    assert recorder.applied[1:] == [{}]
    other.apply_network()
    assert recorder.applied[2:] == recorder.applied[:1]
    assert not NetworkState.read(deployment.directory).is_removed


@pytest.mark.parametrize("outlives", [True, False])
def test_end_takes_off_what_would_stay_on_hosts(with_rules, recorder, outlives):
    """Rules on machines that go on; what is gone with the processes needs nothing."""
    recorder.taking_off = recorder.taking_off if outlives else None
    deployment = with_rules()
    deployment.prepare()
    deployment.finalize()
    assert recorder.applied[1:] == ([{}] if outlives else [])
    state = NetworkState.read(deployment.directory)
    assert (state.is_ended, len(state.links)) == (True, 2)  # what it was is kept


def test_guard_takes_off_what_would_stay_when_processes_are_ended(with_rules, recorder):
    """Whoever ends them, such as the supervisor of a killed driver; the next launch has rules again."""
    deployment = with_rules()
    deployment.prepare()
    off = deployment.directory / "off"
    assert not off.exists()
    end_processes((marker_of(deployment.id),), set())
    assert off.read_text() == "off\noff\n"
    deployment.launch()
    assert recorder.applied == recorder.applied[:1] * 2
    deployment.launch()
    assert len(recorder.applied) == 2


def test_host_that_is_gone_does_not_keep_a_deployment_from_ending(with_rules, recorder, caplog):
    """Its rules went with it, or stay: that is told."""
    deployment = with_rules()
    deployment.prepare()
    recorder.fails = True
    deployment.finalize()
    assert "rules may still hold on hosts of local: the host is gone" in caplog.text
    assert not (deployment.directory / "hosts").exists()


@pytest.mark.parametrize(
    ("outlives", "cut_off", "expected"), [(True, False, 1), (True, True, 2), (False, False, 2)]
)
def test_next_process_knows_what_is_emulated(with_rules, recorder, outlives, cut_off, expected):
    """It applies again what may be gone, or was cut off; else it leaves packets under way alone."""
    recorder.taking_off = recorder.taking_off if outlives else None
    deployment = with_rules(is_detached=True)
    deployment.prepare()
    if cut_off:
        state = NetworkState.read(deployment.directory)
        state.is_changing = True
        state.write(deployment.directory)
    deployment.detach()
    other = with_rules(directory=deployment.directory, deployment_id=deployment.id, is_detached=True)
    other.attach()
    other.launch()
    assert len(recorder.applied) == expected
    assert not NetworkState.read(deployment.directory).is_changing


def test_emulator_that_fails_fails_the_stage_and_is_tried_again(with_rules, recorder):
    """What is emulated is not known then: the next launch does not take it for done."""
    deployment = with_rules()
    recorder.fails = True
    with pytest.raises(DeploymentError, match="the host is gone"):
        deployment.prepare()
    assert NetworkState.read(deployment.directory).is_changing
    recorder.fails = False
    deployment.prepare()
    assert len(recorder.applied) == 1


def test_change_that_fails_leaves_nothing_for_granted(with_rules, recorder):
    """What held before it is applied again, though it is what this process last had emulated."""
    deployment = with_rules(CHOSEN)
    deployment.prepare()
    deployment.launch({"delay_ms": 28})
    recorder.fails = True
    with pytest.raises(DeploymentError, match="the host is gone"):
        deployment.launch({"delay_ms": 5})
    recorder.fails = False
    deployment.launch({"delay_ms": 28})
    assert [links[WORKER, MASTER] for links in recorder.applied] == [0.01, 0.028, 0.028]


def test_hosts_that_share_an_address_are_not_ruled(with_rules, caplog):
    """It is told once, as the scenario's notice; the file has the reason, and there is nothing to measure."""
    deployment = with_rules(layers=LAYERS.replace("local:", "local: {isolation: files}"))
    deployment.prepare()
    deployment.launch()
    assert caplog.text.count("network.yaml") == 1
    state = NetworkState.read(deployment.directory)
    assert [row["reason"] for row in state.not_emulated] == ["they share the address 127.0.0.1"] * 2
    with pytest.raises(DeploymentError, match=r"no rule of network\.yaml is emulated"):
        deployment.validate_network(Effort())


def test_testbed_without_an_emulator_is_told_once(with_rules, recorder, monkeypatch, caplog):
    """With a rule and two of its hosts; the deployment goes on."""
    monkeypatch.setattr(ApartProvider, "emulator", lambda _self: None)
    deployment = with_rules()
    deployment.prepare()
    deployment.launch()
    (message,) = [record.getMessage() for record in caplog.records]
    assert (
        "network.yaml:2: networks: not emulated from cloud.master.1.1 to edge.worker.1.1 and 1 more"
        in message
    )
    assert "nothing emulates networks on the testbed 'local'" in message
    assert recorder.applied == []


def test_scenario_without_rules_writes_nothing_of_networks(deploy):
    """And imports nothing for them."""
    deployment = deploy()
    deployment.prepare()
    deployment.launch()
    deployment.apply_network()
    deployment.remove_network()
    assert not (deployment.directory / "network.json").exists()
    assert load_scenario(deployment.scenario.directory).networks == ()
    assert isinstance(deployment, Deployment)


def test_scenario_without_rules_imports_nothing_of_networks(write_scenario, tmp_path):
    """A plain deployment, from its files to its end, does not pay for what it does not use."""
    program = (
        "import sys\nfrom pathlib import Path\nfrom optiprov.deploy import Deployment, load_scenario\n"
        "deployment = Deployment(load_scenario(Path(sys.argv[1])), Path(sys.argv[2]))\n"
        "deployment.prepare(); deployment.launch(); deployment.finalize()\n"
        "print([name for name in sys.modules if name.startswith('optiprov.deploy.network.')])\n"
    )
    command = [sys.executable, "-c", program, str(write_scenario()), str(tmp_path / "plain")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"
