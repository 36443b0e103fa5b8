"""`optiprov network`: rules between local hosts of an experiment, each command a process of its own."""

import csv
import json
import signal
import subprocess
import sys

import pytest

from optiprov.deploy.network.host_network import NETWORK_VARIABLE
from optiprov.deploy.watchdog import end_processes, find_processes
from tests.networks import require_networks
from tests.waiting import PATIENCE_S, wait_until

LAYERS = """\
environment: {job_name: linked, local: }
layers:
- {name: cloud, services: [{name: Master}]}
- {name: edge, services: [{name: Worker}]}
"""
RULE = "- {src: edge, dst: cloud, delay: 20ms, rate: 10mbit, loss: 5%, symmetric: true}\n"
CHOSEN = "- {src: edge, dst: cloud, delay: '{{ optimization_config.x }}ms'}\n"
MASTER, WORKER = "cloud.master.1.1", "edge.worker.1.1"


@pytest.fixture(scope="module", autouse=True)
def namespaces():
    """All of it needs hosts with a network of their own."""
    require_networks()


@pytest.fixture
def scenario(tmp_path):
    """A scenario with a rule; what a test leaves is ended."""
    (tmp_path / "layers_services.yaml").write_text(LAYERS)
    (tmp_path / "network.yaml").write_text(f"networks:\n{RULE}")
    (tmp_path / "workflow.yaml").write_text(
        "- hosts: all\n  launch:\n    - shell: sleep 300\n      poll: 0\n"
    )
    yield tmp_path
    for state in tmp_path.glob("2*/experiment.json"):
        name = json.loads(state.read_text())["id"]
        for variable in ("OPTIPROV_DEPLOYMENT", NETWORK_VARIABLE):
            end_processes((f"{variable}={name}",), set())


@pytest.fixture
def verb(clean_environment):
    """Runs `optiprov` in a process of its own; returns its status, output and errors."""

    def run(*arguments):
        command = [sys.executable, "-m", "optiprov.cli", *map(str, arguments)]
        options = {"env": clean_environment, "capture_output": True, "text": True, "timeout": PATIENCE_S}
        done = subprocess.run(command, check=False, **options)
        return done.returncode, done.stdout, done.stderr

    return run


def experiment_of(scenario):
    """The directory of the one experiment."""
    (state,) = scenario.glob("2*/experiment.json")
    return state.parent


def test_rules_are_applied_shown_measured_and_removed(scenario, verb):
    """From layers-services to destroy; each command knows what the one before has done."""
    assert verb("layers-services", scenario)[0] == 0
    directory = experiment_of(scenario)
    rule = f"{scenario}/network.yaml:2: "
    assert verb("network", scenario, "show")[1] == f"{rule}is not applied.\n"
    status, table, errors = verb("network", scenario)
    assert status == 0, errors
    emulator = json.loads((directory / "network.json").read_text())["links"][0]["emulator"]
    assert [line.split() for line in table.splitlines()] == [
        ["from", "to", "delay", "rate", "loss", "line", "emulated"],
        [MASTER, WORKER, "20", "ms", "10", "Mbit/s", "5", "%", "2", *emulator.split()],
        [WORKER, MASTER, "20", "ms", "10", "Mbit/s", "5", "%", "2", *emulator.split()],
    ]
    assert verb("network", scenario, "show")[1] == table
    status, text, errors = verb("network", scenario, "validate", "--quick")
    assert status == 0, text + errors
    assert "8/8 TCP" in errors
    with (directory / "network-validate" / "network.csv").open() as file:
        rows = {(row["source"], row["property"]): row for row in csv.DictReader(file)}
    assert {row["outcome"] for row in rows.values()} <= {"met", "shown"}
    assert float(rows[WORKER, "udp_rate"]["measured"]) <= 1e7
    assert 38 <= float(rows[WORKER, "round_trip"]["measured"]) <= 44
    assert text.startswith((directory / "network-validate" / "network.txt").read_text())
    assert verb("network", scenario, "remove")[0] == 0
    removed = f"{directory}: the rules were removed; `optiprov network` applies them again.\n"
    assert verb("network", scenario, "show")[1] == removed
    assert verb("workflow", scenario, "launch")[0] == 0
    assert verb("network", scenario, "show")[1] == removed
    status, _, errors = verb("network", scenario, "validate")
    assert (status, "no rule of network.yaml is emulated" in errors) == (1, True)
    assert verb("network", scenario)[0] == 0
    assert verb("destroy", scenario)[0] == 0
    ended = f"{directory}: the hosts were destroyed, and what lay between them is gone.\n"
    assert verb("network", scenario, "show")[1] == table + ended


def test_rule_that_is_not_met_is_status_1(scenario, verb):
    """What is emulated is another delay than the state says: behind the back of the commands."""
    (scenario / "network.yaml").write_text("networks:\n- {src: edge, dst: cloud, delay: 20ms}\n")
    assert verb("layers-services", scenario)[0] == 0
    assert verb("network", scenario)[0] == 0
    state = experiment_of(scenario) / "network.json"
    state.write_text(state.read_text().replace("0.02", "0.03"))
    status, text, _ = verb("network", scenario, "validate", "--quick")
    assert status == 1
    assert [line.split()[-1] for line in text.splitlines()[1:3]] == ["missed", "shown"]
    assert "missed: outside what the rules allow." in text


def test_edited_rules_hold_when_they_are_applied(scenario, verb):
    """network.yaml is read anew; a rule that the launch has to complete waits."""
    assert verb("layers-services", scenario)[0] == 0
    assert verb("network", scenario)[0] == 0
    (scenario / "network.yaml").write_text(f"networks:\n{RULE.replace('20ms', '5ms')}{CHOSEN}")
    status, output, errors = verb("network", scenario)
    assert status == 0, errors
    assert output.count("5 ms") == 2
    waits = "waits for a launch, which gives its templates their values."
    assert output.splitlines()[-1] == f"{scenario}/network.yaml:3: {waits}"
    (scenario / "network.yaml").write_text("networks:\n")
    status, output, _ = verb("network", scenario)
    assert (status, "no rules in network.yaml" in output) == (0, True)


def test_rules_are_gone_after_a_kill(scenario, verb, clean_environment):
    """Kill -9 of deploy ends hosts, network and rules; `show` knows, and the next command has them again."""
    command = [sys.executable, "-m", "optiprov.cli", "deploy", str(scenario), "--pause"]
    process = subprocess.Popen(
        command, env=clean_environment, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert any("Press Enter" in line for line in process.stderr)
    directory = experiment_of(scenario)
    marker = f"{NETWORK_VARIABLE}={json.loads((directory / 'experiment.json').read_text())['id']}"
    assert find_processes((marker,), set())
    process.send_signal(signal.SIGKILL)
    process.communicate()
    wait_until(lambda: not find_processes((marker,), set()))
    gone = f"{directory}: gone with the network of the hosts; the next command makes it anew."
    assert verb("network", scenario, "show")[1].splitlines()[-1] == gone
    status, output, errors = verb("network", scenario)
    assert (status, output.count("20 ms"), gone in output) == (0, 2, False), errors
    assert verb("destroy", scenario)[0] == 0
    assert not find_processes((marker,), set())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show", "--quick"), "--quick and --all-links are for validate."),
        (("aply",), "'aply' is not one of"),
        ((), "has no experiment. Deploy one first"),
    ],
)
def test_wrong_input_is_status_2(scenario, verb, arguments, said):
    """The message says what is wrong."""
    status, _, errors = verb("network", scenario, *arguments)
    assert (status, said in errors) == (2, True), errors
