import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import yaml

from optiprov.deploy import Deployment, Experiment, load_scenario, reap_abandoned
from optiprov.deploy.network import host_network
from optiprov.deploy.network.host_network import NETWORK_VARIABLE, end_network
from optiprov.deploy.providers import apart, isolation
from optiprov.deploy.providers.local import LocalProvider
from optiprov.deploy.watchdog import find_processes
from optiprov.errors import DeploymentError
from tests.conftest import ROOT
from tests.deploy.provider_contract import ProviderContract
from tests.deploy.test_ansible import needs_ansible
from tests.deploy.test_isolation import BY_USER
from tests.waiting import wait_until

from .conftest import LAYERS, network_processes, python, run_on, start_on, state_of

SERVE = """
import socket, sys
server = socket.create_server((sys.argv[1], int(sys.argv[2])), family=socket.AF_INET6 if ":" in sys.argv[1]
    else socket.AF_INET)
print("listening", flush=True)
server.accept()[0].sendall(sys.argv[3].encode())
"""
ASK = """
import socket, sys
print(socket.create_connection((sys.argv[1], int(sys.argv[2])), 30).makefile().read())
"""
KILLED = """
import os, signal, sys
from pathlib import Path
from optiprov.deploy import Deployment, load_scenario
Deployment(load_scenario(Path(sys.argv[1])), Path(sys.argv[2]), deployment_id=sys.argv[3]).prepare()
os.kill(os.getpid(), signal.SIGKILL)
"""
AS_NOBODY = """
import sys
from pathlib import Path
from optiprov.deploy import Deployment, load_scenario
deployment = Deployment(load_scenario(Path(sys.argv[1])), Path(sys.argv[2]), deployment_id=sys.argv[3])
try:
    deployment.prepare()
    deployment.launch()
finally:
    deployment.finalize()
"""


@pytest.fixture(params=["as root", "by user namespace"])
def commands(request, monkeypatch):
    """Namespaces as this user makes them, and as a user that is not root does."""
    if request.param == "by user namespace":
        monkeypatch.setattr(isolation, "_probed_commands", lambda: BY_USER)


class TestNamespacedHosts(ProviderContract):
    """Hosts with a network of their own hold the contract of providers."""

    @pytest.fixture
    def provider(self):
        """A provider of local hosts."""
        return LocalProvider()


def exchange(server, client, address, text):
    """What a client on one host gets from a server on another."""
    with start_on(server, python(SERVE, address, server.port, text)) as serving:
        assert serving.stdout.readline() == "listening\n"
        return run_on(client, python(ASK, address, server.port)).strip()


@pytest.mark.usefixtures("commands")
def test_hosts_reach_each_other_at_their_addresses(deploy_apart):
    """By IPv4 and IPv6, at a port which each host has for itself, low ports too; each is in the record."""
    deployment = deploy_apart()
    first, second, third = deployment.hosts
    assert [host.address for host in deployment.hosts] == ["10.144.0.1", "10.144.0.2", "10.144.0.3"]
    assert [host.port for host in deployment.hosts] == [20000] * 3
    assert exchange(first, second, first.address, "four") == "four"
    record = yaml.safe_load((deployment.directory / "layers_services-validate.yaml").read_text())
    hosts = record["layers"][0]["services"][0]["hosts"]
    assert [one["url"] for one in hosts] == [f"10.144.0.{number}:20000" for number in (1, 2, 3)]
    run_on(third, f"ping -c 1 -W 30 {second.address}")
    run_on(third, python("import socket, sys; socket.create_server((sys.argv[1], 80))", third.address))
    if first.address6 is not None:
        assert first.address6 == hosts[0]["address6"] == "fd6f:7074:6970::1"
        assert exchange(first, second, first.address6, "six") == "six"
        run_on(third, f"ping -c 1 -W 30 {second.address6}")


def test_deployments_do_not_meet(deploy_apart):
    """Each has a network of its own, with the same addresses; nothing of one is seen from the other."""
    one, other = deploy_apart(), deploy_apart()
    server, client, stranger = one.hosts[0], one.hosts[1], other.hosts[1]
    assert server.address == other.hosts[0].address
    with start_on(server, python(SERVE, server.address, server.port, "mine")) as serving:
        assert serving.stdout.readline() == "listening\n"
        refused = start_on(stranger, python(ASK, server.address, server.port))
        assert "ConnectionRefusedError" in refused.communicate()[0]
        assert run_on(client, python(ASK, server.address, server.port)).strip() == "mine"


def interface_names():
    """The network interfaces of this machine."""
    return {path.name for path in Path("/sys/class/net").iterdir()}


def test_nothing_is_left_when_it_is_destroyed(deploy_apart):
    """Neither a process nor a namespace, nor a file of the network; this machine's own is as it was."""
    interfaces = interface_names()
    deployment = deploy_apart()
    state = state_of(deployment)
    keeper = Path("/proc") / str(state["pid"]) / "fd"
    namespaces = {(keeper / str(descriptor)).stat().st_ino for descriptor in state["descriptors"]}
    assert len(namespaces) == 4
    deployment.destroy()
    assert network_processes(deployment) == []
    in_use = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            in_use.add((process / "ns" / "net").stat().st_ino)
    assert namespaces.isdisjoint(in_use)
    assert not (deployment.directory / "network").exists()
    assert interface_names() == interfaces


def test_network_stays_for_the_commands_that_follow(deploy_apart, tmp_path):
    """A detached deployment is gone on with in the same network; where that has died, it is made again."""
    directory = tmp_path / "d"
    options = {"directory": directory, "deployment_id": "of-a-test", "is_detached": True}
    supervised = {**options, "supervised": "OPTIPROV_OF=a-test"}
    first = deploy_apart(**supervised)
    kept, addresses = state_of(first)["pid"], [host.address for host in first.hosts]
    first.detach()
    second = deploy_apart(**supervised)
    assert state_of(second)["pid"] == kept
    assert exchange(second.hosts[0], second.hosts[2], addresses[0], "same") == "same"
    second.detach()
    os.kill(kept, signal.SIGKILL)
    wait_until(lambda: network_processes(second) == [])
    third = deploy_apart(**supervised)
    assert state_of(third)["pid"] != kept
    assert [host.address for host in third.hosts] == addresses
    assert exchange(third.hosts[0], third.hosts[2], addresses[0], "anew") == "anew"


def test_it_is_said_when_the_network_is_gone(deploy_apart):
    """The process that keeps it was killed: starting anything on a host tells so, and the relays end too."""
    deployment = deploy_apart()
    os.kill(state_of(deployment)["pid"], signal.SIGKILL)
    wait_until(lambda: network_processes(deployment) == [])
    with pytest.raises(DeploymentError, match="the network of the hosts is gone"):
        deployment.hosts[0].enclosed(["true"])


def test_network_is_gone_when_the_driver_is_killed(scenario, tmp_path, clean_environment):
    """Its supervisor ends what keeps it."""
    command = [sys.executable, "-c", KILLED, scenario.directory, tmp_path / "d", "killed-of-a-test"]
    done = subprocess.run(command, check=False, env=clean_environment, cwd=ROOT)
    assert done.returncode == -signal.SIGKILL
    deployment = Deployment(scenario, tmp_path / "d", deployment_id="killed-of-a-test")
    try:
        wait_until(lambda: network_processes(deployment) == [])
    finally:
        end_network(deployment.id)


def test_network_is_journalled_before_it_is_made(scenario, tmp_path, monkeypatch):
    """Whoever finds the journal knows that there may be one, and by what it is found."""
    deployment = Deployment(scenario, tmp_path / "d")
    texts = []

    class NotStarted(Exception):
        """Nothing needs to run: it is seen what would be started after what was written."""

    def stop(*_given, **_options):
        texts.append((deployment.directory / "journal.jsonl").read_text())
        raise NotStarted

    with monkeypatch.context() as patch:
        patch.setattr("optiprov.deploy.network.host_network.subprocess.Popen", stop)
        patch.setattr("optiprov.deploy.providers.apart.network_obstacle", lambda: None)
        patch.setattr("optiprov.deploy.equipment.Supervisor", FakeSupervisor)
        with pytest.raises(NotStarted):
            deployment.deploy()
    assert '"event": "network"' in texts[0]
    assert '"event": "host"' not in texts[0]
    deployment.destroy()


class FakeSupervisor:
    """Starts no process, as starting any is what the test looks at."""

    def __init__(self, _marker):
        self.environment = {}

    def watch(self, session):
        """Nothing to watch."""

    def close(self):
        """Nothing to close."""


def test_commands_of_an_experiment_go_on_in_one_network(write_scenario):
    """Each command is another process in life: hosts, network and what listens there are found again."""
    serving = python(SERVE, "0.0.0.0", 20000, "kept")
    workflow = (
        "- hosts: edge.w.1.1\n  prepare:\n"
        f"    - shell: {json.dumps(serving)}\n      poll: 0\n"
        "- hosts: edge.w.1.2\n  launch:\n"
        f"    - shell: {json.dumps(python(ASK, '10.144.0.1', 20000))}\n"
        "      register: asked\n      until: asked.rc == 0\n      retries: 60\n      delay: 1\n"
    )
    directory = write_scenario(workflow, LAYERS.replace(", roles: [provenance]", ""))
    experiment = Experiment.create(directory, None)
    mark = experiment.directory
    try:
        experiment.layers_services()
        Experiment.open(mark).prepare()
        Experiment.open(mark).launch()
        outputs = [path.read_text() for path in mark.glob("logs/edge.w.1.2/launch-*.out")]
        assert outputs[-1] == "kept\n"
    finally:
        Experiment.open(mark).destroy()
    assert not (mark / "network").exists()
    assert not (mark / "hosts").exists()


@needs_ansible
def test_what_ansible_runs_is_on_the_host_too(write_scenario, tmp_path):
    """A module of Ansible's waits for the server of another host, at its address."""
    serving = json.dumps(python(SERVE, "10.144.0.1", 20000, "x"))
    workflow = (
        f"- hosts: edge.w.1.1\n  launch:\n    - shell: {serving}\n      poll: 0\n"
        "- hosts: edge.w.1.2\n  launch:\n    - wait_for: {host: 10.144.0.1, port: 20000, timeout: 60}\n"
    )
    deployment = Deployment(load_scenario(write_scenario(workflow, LAYERS)), tmp_path / "d")
    try:
        deployment.prepare()
        deployment.launch()
    finally:
        deployment.finalize()
    assert (tmp_path / "d" / "ansible").exists()


def test_remains_of_a_scenario_that_is_gone_are_destroyed(write_scenario):
    """Its network too, which the journal tells of."""
    directory = write_scenario(layers=LAYERS.replace(", roles: [provenance]", ""))
    experiment = Experiment.create(directory, None)
    experiment.layers_services()
    identity = json.loads((experiment.directory / "experiment.json").read_text())["id"]
    marker = (f"{NETWORK_VARIABLE}={identity}",)
    assert find_processes(marker, set())
    (directory / "layers_services.yaml").write_text("broken: [")
    Experiment.destroy_at(experiment.directory)
    assert find_processes(marker, set()) == []
    assert not (experiment.directory / "network").exists()


def test_network_of_an_abandoned_deployment_is_reaped(deploy_apart, monkeypatch):
    """Driver and supervisor were killed: the next start ends it, as the journal says that there is one."""
    deployment = deploy_apart()
    monkeypatch.setattr("optiprov.deploy.reaping._is_abandoned", lambda journalled: not journalled.is_closed)
    assert network_processes(deployment)
    assert reap_abandoned(deployment.directory) == [deployment.id]
    assert network_processes(deployment) == []


def test_hosts_are_apart_when_there_are_rules(tmp_path, write_scenario):
    """By default: with rules in network.yaml each has a network of its own, without not, nor with files."""
    rules = "networks:\n- {src: edge, dst: edge, delay: 5ms}\n"
    plain, asked = LAYERS.replace("{isolation: netns}", "{}"), LAYERS.replace("netns", "files")
    cases = [(plain, {"network": rules}, "10.144.0.1"), (plain, {}, "127.0.0.1")]
    cases.append((asked, {"network": rules}, "127.0.0.1"))
    for number, (layers, files, expected) in enumerate(cases):
        directory = write_scenario(layers=layers, **files)
        deployment = Deployment(load_scenario(directory), tmp_path / f"d{number}")
        try:
            deployment.deploy()
            assert deployment.hosts[0].address == expected
        finally:
            deployment.destroy()
        shutil.rmtree(directory)


def test_machine_without_network_namespaces_is_told_of(tmp_path, write_scenario, monkeypatch, caplog):
    """Where the scenario asks for them it is refused, with the way on; by default there is a warning."""
    for module in (apart, host_network):
        monkeypatch.setattr(module, "network_obstacle", lambda: "ip not found")
    asked = Deployment(load_scenario(write_scenario(layers=LAYERS)), tmp_path / "asked")
    with pytest.raises(DeploymentError, match=r"ip not found.*`isolation: files`"):
        asked.deploy()
    asked.destroy()
    rules = "networks:\n- {src: edge, dst: edge, delay: 5ms}\n"
    scenario = write_scenario(layers=LAYERS.replace("{isolation: netns}", "{}"), network=rules)
    deployment = Deployment(load_scenario(scenario), tmp_path / "default")
    deployment.deploy()
    assert deployment.hosts[0].address == "127.0.0.1"
    deployment.destroy()
    assert "rules have no effect between hosts of the testbed local" in caplog.text


def as_nobody(program, command):
    """What runs a command as nobody, who sees a program though it may lie below a private home directory."""
    hidden = next((path for path in list(program.parents)[::-1] if not path.stat().st_mode & 0o001), None)
    become = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command]
    if hidden is None:
        return become
    below = hidden / program.relative_to(hidden).parts[0]
    show = (
        'kept=$(mktemp -d) && mount --bind "$2" "$kept" && mount -t tmpfs -o mode=755 t "$1" && mkdir "$2" '
        '&& mount --bind "$kept" "$2" && umount "$kept" && rmdir "$kept" && shift 2 && exec "$@"'
    )
    return ["unshare", "--mount", "--propagation=private", "sh", "-c", show, "sh", hidden, below, *become]


@pytest.mark.skipif(os.geteuid() != 0, reason="whoever is not root runs all tests of this file as a user")
def test_hosts_are_apart_for_nobody(clean_environment):
    """Who is not root gets the same by a user namespace."""
    task = "ping -c 1 -W 30 {{ _self.address }} && id -u"
    with tempfile.TemporaryDirectory() as name:  # pytest's own are private
        place = Path(name)
        place.chmod(0o777)
        (place / "layers_services.yaml").write_text(LAYERS)
        (place / "workflow.yaml").write_text(f"- hosts: all\n  launch:\n    - shell: {task}\n")
        arguments = [sys.executable, "-c", AS_NOBODY, place, place / "d", "nobody-of-a-test"]
        command = as_nobody(Path(sys.executable).resolve(), arguments)
        environment = {**clean_environment, "HOME": "/nonexistent"}
        done = subprocess.run(command, check=False, env=environment, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        outputs = [path.read_text() for path in sorted((place / "d" / "logs").glob("*/*.out"))]
        assert [output.split()[-1] for output in outputs] == ["65534"] * 3
