"""`optiprov ssh` as users have it: at a terminal and without one, on local hosts and by SSH."""

import contextlib
import json
import socket
import subprocess
import sys

import pytest
import yaml

from optiprov.deploy import Experiment
from optiprov.deploy.experiment_state import locked
from optiprov.deploy.watchdog import find_processes
from optiprov.errors import ScenarioError
from tests.deploy.ssh_machines import SshMachines, require_machines
from tests.networks import require_networks
from tests.waiting import PATIENCE_S, wait_until

from .terminal import Terminal

_SERVER = """
import socket, sys
with socket.create_server(("127.0.0.1", 4000)) as server:
    while True:
        with server.accept()[0] as connection:
            connection.sendall(b"greeted")
"""
LAYERS = [{"name": "edge", "services": [{"name": "Worker", "quantity": 2}]}]


@pytest.fixture
def deploy(tmp_path):
    """Deploys an experiment of two hosts and returns its directory."""
    made = []

    def make(environment=None):
        scenario = tmp_path / "scenario"
        (scenario / "artifacts").mkdir(parents=True)
        content = {"environment": environment or {"job_name": "shells", "local": {}}, "layers": LAYERS}
        (scenario / "layers_services.yaml").write_text(yaml.safe_dump(content))
        (scenario / "workflow.yaml").write_text("[]\n")
        made.append(Experiment.create(scenario, None))
        made[-1].layers_services()
        return made[-1].directory

    yield make
    for experiment in made:
        with contextlib.suppress(ScenarioError):  # destroyed by the test
            experiment.destroy()


@pytest.fixture
def shell(clean_environment):
    """Runs `optiprov ssh` without a terminal; returns its status, output and errors."""

    def run(*arguments, given=""):
        command = [sys.executable, "-m", "optiprov.cli", "ssh", *map(str, arguments)]
        options = {"capture_output": True, "text": True, "timeout": PATIENCE_S}
        done = subprocess.run(command, check=False, input=given, env=clean_environment, **options)
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture
def terminal(clean_environment):
    """Runs `optiprov ssh` in a terminal."""
    opened = []

    def open_one(*arguments):
        command = [sys.executable, "-m", "optiprov.cli", "ssh", *map(str, arguments)]
        opened.append(Terminal(command, clean_environment))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


@pytest.fixture
def machine(tmp_path):
    """A machine that is reached by SSH, and the key `environment` for its hosts."""
    require_machines()
    machines = SshMachines(tmp_path)
    made = machines.make()
    yield made, {"job_name": "shells", "static": machines.testbed(made)}
    machines.remove()


def free_port():
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def first_bytes(port):
    """What is sent first by what listens at a port, once something does."""

    def read():
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
                return connection.recv(7)
        except OSError:
            return b""

    wait_until(read)
    return read()


def test_command_runs_as_tasks_do_and_its_status_is_that_of_ssh(deploy, shell):
    """In the host's directory, with its HOME and its variables; options after `--` are the command's own."""
    experiment = deploy()
    script = 'pwd; echo "$HOME"; echo "$OPTIPROV_DEPLOYMENT"; exit 7'
    status, output, errors = shell(experiment.parent, "1.1", "--", "sh", "-c", script)
    host = experiment / "hosts" / "edge.worker.1.1"
    name = json.loads((experiment / "experiment.json").read_text())["id"]
    assert (status, errors) == (7, "")
    assert output.splitlines() == [f"{host}/work", f"{host}/home", name]
    assert shell(experiment, "1.2", given="exit 4\n")[0] == 4
    status, _, errors = shell(experiment, "1.2", "--", "no-such-program")
    assert (status, "no-such-program" in errors) == (127, True)


def test_shell_opens_while_another_command_works_and_changes_nothing(deploy, shell):
    """No lock is waited for, and state, journal and the host's own files are as they were."""
    experiment = deploy()
    files = [experiment / "experiment.json", experiment / "journal.jsonl"]
    files += sorted(path for path in (experiment / "hosts").rglob("*") if path.is_file())
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}
    with locked(experiment, "workflow launch"):
        assert shell(experiment, "1.1", "--", "true")[0] == 0
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files} == before
    assert sorted(path for path in (experiment / "hosts").rglob("*") if path.is_file()) == files[2:]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("worker", "is a part of several hosts: edge.worker.1.1, edge.worker.1.2"),
        ("edge.woker.1.1", "Did you mean 'edge.worker.1.1'?"),
        (None, "There are: edge.worker.1.1, edge.worker.1.2"),
    ],
)
def test_host_that_is_not_told_is_asked_for(deploy, shell, name, message):
    """Several, none, or none named without a terminal: the message lists those there are."""
    experiment = deploy()
    status, _, errors = shell(experiment, *([name] if name else []))
    assert (status, message in errors) == (2, True), errors


def test_destroyed_experiment_has_no_shell(deploy, shell):
    """What was destroyed is told as such."""
    experiment = deploy()
    Experiment.open(experiment).destroy()
    status, _, errors = shell(experiment, "1.1", "--", "true")
    assert (status, "was destroyed" in errors) == (2, True)


def test_port_of_a_host_with_this_network_needs_no_forward(deploy, shell):
    """It is told so, and the command runs."""
    status, output, errors = shell(deploy(), "1.1", "-L", f"{free_port()}:127.0.0.1:80", "--", "echo", "ran")
    assert (status, output, "has the network of this machine" in errors) == (0, "ran\n", True)
    status, _, errors = shell("anywhere", "1.1", "-L", "80:90")
    assert (status, "expected [bind:]port:host:hostport" in errors) == (2, True)


def test_host_is_chosen_from_a_menu_at_a_terminal(deploy, terminal):
    """By its number; what is no host is asked for again."""
    one = terminal(deploy())
    one.wait_for("2  edge.worker.1.2")
    one.type("nothing\n")
    one.wait_for("has no host 'nothing'")
    one.type("2\n")
    one.type("basename $(dirname $PWD); exit 6\n")
    one.wait_for("edge.worker.1.2\r\n")
    assert one.wait() == 6


def test_shell_at_a_terminal_has_job_control(deploy, terminal):
    """Ctrl-C ends what runs in the shell, and Ctrl-Z stops it; the shell goes on, and has the last word."""
    _have_job_control(terminal(deploy(), "1.1"))


def test_interrupt_ends_the_command_that_it_is_for(deploy, terminal):
    """Ctrl-C reaches a command without a shell; the status is as shells have it."""
    experiment = deploy()
    one = terminal(experiment, "1.1", "--", "sh", "-c", "echo begun; exec sleep 300")
    one.wait_for("begun")
    one.type("\x03")
    assert one.wait() == 130


def test_shell_ends_when_the_experiment_is_destroyed(deploy, terminal):
    """It is one of the processes of its host."""
    experiment = deploy()
    one = terminal(experiment, "1.1")
    one.type("echo op''en\n")
    one.wait_for("open")
    Experiment.open(experiment).destroy()
    assert one.wait() > 128


def test_ssh_host_has_a_terminal_and_job_control(machine, deploy, terminal, shell):
    """A real ssh through the connection of the experiment, on the machine itself."""
    host, environment = machine
    experiment = deploy(environment)
    before = host.connections
    status, output, _ = shell(experiment, "1.1", "--", "sh", "-c", "pwd; echo 'two words'; exit 3")
    assert (status, output.splitlines()[1]) == (3, "two words")
    assert output.startswith("/root/.optiprov/")
    assert host.connections == before  # that of the experiment
    _have_job_control(terminal(experiment, "1.1"))


def test_visit_of_an_ssh_host_leaves_what_runs_there(machine, deploy, shell):
    """It connects as a user does: connecting as a step does may end what an earlier connection has there."""
    host, environment = machine
    experiment = deploy(environment)
    workflow = "- hosts: edge\n  prepare:\n  - {shell: exec sleep 300, poll: 0}\n"
    (experiment.parent / "workflow.yaml").write_text(workflow)
    Experiment.open(experiment).prepare()
    wait_until(lambda: len(host.running(name="sleep")) == 2)
    running = sorted(host.running(name="sleep"))
    (noted,) = (host.home / ".optiprov").glob("*/connection.json")
    before = noted.stat().st_mtime_ns
    status, output, errors = shell(experiment, "1.1", "--", "sh", "-c", 'pwd; echo "$OPTIPROV_SPOOL"')
    assert (status, output.count("/edge.worker.1.1/")) == (0, 2), errors
    assert (noted.stat().st_mtime_ns, sorted(host.running(name="sleep"))) == (before, running)


def test_ports_of_an_ssh_host_are_forwarded_while_the_command_runs(machine, deploy, terminal, shell):
    """By -L of ssh itself: what listens there is reached here, and no longer than the command runs."""
    _, environment = machine
    experiment, port = deploy(environment), free_port()
    one = terminal(experiment, "1.2", "-L", f"{port}:127.0.0.1:22", "--", "sh", "-c", "read line; exit 9")
    assert first_bytes(port) == b"SSH-2.0"
    one.type("\n")
    assert one.wait() == 9
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    with socket.create_server(("127.0.0.1", port)):
        assert shell(experiment, "1.2", "-L", f"{port}:127.0.0.1:22", "--", "true")[0] == 255
    name = json.loads((experiment / "experiment.json").read_text())["id"]
    assert not find_processes((f"OPTIPROV_DEPLOYMENT={name}",), set())


def test_namespaced_host_has_its_network_and_ports_are_passed_on(deploy, terminal, shell):
    """The shell has the host's address; what listens there is reached here while the command runs."""
    require_networks()
    experiment, port = deploy({"job_name": "shells", "local": {"isolation": "netns"}}), free_port()
    before = (experiment / "network").stat().st_mtime_ns
    status, output, errors = shell(experiment, "1.2", "--", "ip", "-brief", "-4", "address")
    assert (status, "10.144.0.2/" in output) == (0, True), errors
    forward = f"{port}:127.0.0.1:4000"
    one = terminal(experiment, "1.2", "-L", forward, "--", sys.executable, "-c", _SERVER)
    assert first_bytes(port) == b"greeted"
    one.type("\x03")
    assert one.wait() == 130
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    assert (experiment / "network").stat().st_mtime_ns == before


def _have_job_control(one):
    prompt = "ready> "
    one.type("PS1='rea''dy> '\n")
    one.wait_for(prompt)
    one.type("sh -c 'echo be''gun; exec sleep 300'\n")
    one.wait_for("begun")
    one.type("\x03")
    one.wait_for(prompt)
    one.type('echo "status $?"\n')
    one.wait_for("status 130")
    one.type("sh -c 'echo be''gun; exec sleep 300'\n")
    one.wait_for("begun")
    one.type("\x1a")
    one.wait_for("Stopped")
    one.type("exit 5\nexit 5\n")  # the first is refused, as a job is stopped
    assert one.wait() == 5
