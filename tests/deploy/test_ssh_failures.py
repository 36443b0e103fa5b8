"""What keeps a host that is reached by SSH from being had: which host, what was got, what to do."""

import os
import signal
import subprocess

import pytest

from optiprov.deploy import load_scenario
from optiprov.deploy.providers.ssh.connection import CONNECTION_VARIABLE, Connection
from optiprov.deploy.providers.ssh.failures import describe_failure
from optiprov.deploy.providers.ssh.machine import Machine
from optiprov.deploy.watchdog import find_processes
from optiprov.errors import DeploymentError, HostUnavailable
from tests.waiting import wait_until

from .ssh_machines import make_key


@pytest.fixture
def connect(machines, pair):
    """Connects to the first machine of the pair, with other settings than those that lead there."""
    connections = []

    def open_connection(**changes):
        given = {
            "address": pair[0].address,
            "user": "root",
            "key_file": str(machines.key),
            "known_hosts": str(machines.known_hosts),
        }
        connections.append(Connection(Machine(**{**given, **changes}), f"test-{len(connections)}", ""))
        connections[-1].open()
        return connections[-1]

    yield open_connection
    for connection in connections:
        if connection.is_open:
            connection.call("remove")
        connection.close()


def test_unknown_host_key_is_refused_with_how_to_add_it(connect, pair, tmp_path):
    """Nobody is asked: the message has the command that adds the key to the file that was read."""
    known = tmp_path / "known_hosts"
    known.touch()
    with pytest.raises(HostUnavailable) as error:
        connect(known_hosts=str(known))
    assert f"root@{pair[0].address}: its host key is not known." in str(error.value)
    assert f"`ssh-keyscan {pair[0].address} >> {known}`" in str(error.value)
    assert "Host key verification failed." in str(error.value)
    with known.open("w") as file:
        subprocess.run(["ssh-keyscan", pair[0].address], stdout=file, stderr=subprocess.DEVNULL, check=True)
    assert connect(known_hosts=str(known)).is_open


def test_other_host_key_than_the_known_one_is_refused(connect, pair, tmp_path):
    """The message says how to remove the old one, and what it may mean."""
    other = make_key(tmp_path / "other").with_suffix(".pub").read_text()
    known = tmp_path / "known_hosts"
    known.write_text(f"{pair[0].address} {other}")
    with pytest.raises(HostUnavailable, match=r"its host key is another than the known one") as error:
        connect(known_hosts=str(known))
    assert f"`ssh-keygen -R '{pair[0].address}' -f {known}`" in str(error.value)


@pytest.mark.parametrize(
    ("changes", "reason", "way_on"),
    [
        ({"key_file": "other"}, "it refuses the user or the key", "`ssh-add`"),
        ({"user": "stranger"}, "it refuses the user or the key", "Give `user` and `key_file`"),
        ({"port": 9}, "nothing listens there", "or give the `port` it has"),
        ({"address": "nowhere.invalid"}, "its name is not known", "Correct the address"),
        (
            {"python": "python-of-nobody"},
            "it has no python-of-nobody",
            "install it, or name one with `python`",
        ),
        ({"directory": "/dev/null/place"}, "its directory cannot be written", "Give a `directory`"),
    ],
)
def test_machine_that_cannot_be_had_is_told_with_a_way_on(connect, tmp_path, changes, reason, way_on):
    """The message names the machine, what is wrong, what to do, and what ssh said."""
    if "key_file" in changes:
        changes = {"key_file": str(make_key(tmp_path / changes["key_file"]))}
    with pytest.raises(DeploymentError) as error:
        connect(**changes)
    first, *said = str(error.value).splitlines()
    assert reason in first
    assert way_on in first
    assert said


def test_machine_that_is_cut_off_is_told_with_a_way_on(connect, machines):
    """An address that does not answer."""
    machine = machines.make()
    machine.cut()
    with pytest.raises(HostUnavailable, match=r"it does not answer\. See that it runs"):
        connect(address=machine.address, options=("ConnectTimeout=1",))


def test_jump_host_that_lets_nothing_through_is_told(connect):
    """As the one to look at: ssh does not pass on what it says."""
    with pytest.raises(HostUnavailable, match=r"its jump host root@127\.0\.0\.1:9 cannot be reached, or"):
        connect(jump_host="root@127.0.0.1:9")


def test_machine_that_forwards_nothing_in_time_is_told(connect, monkeypatch):
    """A connection that hangs holds nobody up for ever."""
    connection = connect()
    pid = int(connection._control("check", timeout_s=60).stderr.split("pid=")[1].split(")")[0])
    monkeypatch.setattr("optiprov.deploy.providers.ssh.connection._FORWARD_TIMEOUT_S", 0.2)
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(
            HostUnavailable, match=r"forwards no port back to this machine: no answer within 0\.2 s"
        ):
            connection.reach_back("127.0.0.1:9")
    finally:
        os.kill(pid, signal.SIGCONT)


def test_machine_that_hangs_after_the_login_is_told(connect, pair, monkeypatch):
    """As one whose home directory does not answer would; its connection is ended."""
    monkeypatch.setattr("optiprov.deploy.providers.ssh.connection._BEGIN_TIMEOUT_S", 3.0)
    with pytest.raises(HostUnavailable, match=r"it does not begin to serve in 3 s\. See what its shell"):
        connect(python="sleep 300; python3")
    wait_until(lambda: not find_processes((f"{CONNECTION_VARIABLE}=test-0",), set()))
    for pid in pair[0].running(name="sleep"):  # what hangs there is not ours to end
        os.kill(pid, signal.SIGKILL)


def test_full_disk_of_a_machine_is_told(connect, machines):
    """Before anything is deployed to it."""
    machine = machines.make()
    machine.run("mount", "-t", "tmpfs", "-o", "size=16k", "none", "/media")
    with pytest.raises(HostUnavailable, match=r"its disk is full\. Make room, or give another `directory`"):
        connect(address=machine.address, directory="/media/optiprov")
    machine.run("sh", "-c", 'test -z "$(ls -A /media/optiprov)"')


def test_old_python_is_told():
    """What a Python before 3.8 answers is taken as its absence."""
    told = describe_failure(Machine("edge"), "optiprov needs Python 3.8 or later, this is 3.6.9\n")
    assert told.startswith("edge: it has no python3, or one before Python 3.8. Hosts reached by SSH need")
    assert told.endswith("this is 3.6.9")


def test_failures_of_all_hosts_are_told_at_once(deploy, static_layers, caplog):
    """Each with the ids of the hosts that it concerns."""
    deployment = deploy("[]\n", static_layers(port=9))
    with pytest.raises(DeploymentError) as error:
        deployment.prepare()
    deployment.finalize()
    assert caplog.messages == []  # nothing is left there
    hosts = [line.split(":")[0] for line in str(error.value).splitlines() if not line.startswith(" ")]
    assert hosts == ["host cloud.master.1.1", "host edge.worker.1.1"]


@pytest.mark.parametrize(("environment", "provider"), [("{static: }", None), ("{g5k: {}}", "static")])
def test_machines_that_nobody_names_are_told(write_scenario, environment, provider):
    """A testbed without machines, for a service without servers: before anything is deployed."""
    layers = f"environment: {environment}\nlayers:\n- {{name: a, services: [{{name: S}}]}}\n"
    (obstacle,) = load_scenario(write_scenario(layers=layers), provider=provider).obstacles
    assert "no machine is named for the host a.s.1.1. Name machines in" in str(obstacle)


def test_ssh_that_is_not_installed_is_told(connect, monkeypatch):
    """With what to install."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(
        HostUnavailable, match=r"reached by ssh, which is not here\. Install OpenSSH's client"
    ):
        connect()
    monkeypatch.undo()


def test_key_of_the_agent_is_used(connect, machines, monkeypatch):
    """Without a key file, as ssh does."""
    agent = subprocess.run(["ssh-agent", "-s"], capture_output=True, text=True, check=True).stdout
    for line in agent.splitlines():
        name, assigned, value = line.partition(";")[0].partition("=")
        if assigned:
            monkeypatch.setenv(name, value)
    try:
        subprocess.run(["ssh-add", "-q", str(machines.key)], check=True)
        assert connect(key_file=None).is_open
    finally:
        subprocess.run(["ssh-agent", "-k"], stdout=subprocess.DEVNULL, check=True)


def test_machine_behind_others_is_reached_through_them(connect, machines, pair):
    """Each with the same key and known hosts, and from nowhere else."""
    jump = machines.make(through=pair[0])
    behind = machines.make(through=jump)
    with pytest.raises(HostUnavailable):
        connect(address=behind.address, options=("ConnectTimeout=1",))
    through = f"root@{pair[0].address}:22,root@{jump.address}"
    connection = connect(address=behind.address, jump_host=through)
    assert connection.call("files", "kind", ["/root"], {})[0] == "directory"
    assert connection.machine.shown == f"root@{behind.address} through {through}"
