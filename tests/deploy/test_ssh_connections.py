"""What becomes of processes on hosts that are reached by SSH, and of the hosts: ended, lost, left."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from optiprov.deploy import reap_abandoned
from optiprov.deploy.journal import JOURNAL_NAME
from optiprov.deploy.providers.ssh import bootstrap, channel
from optiprov.errors import DeploymentError
from tests.waiting import PATIENCE_S, wait_until

QUICK = ["ServerAliveInterval=1", "ServerAliveCountMax=2", "ConnectTimeout=3"]
"""Settings of ssh with which a dead network is noticed in three seconds."""

SLEEP = "- hosts: all\n  launch:\n  - shell: exec sleep 300\n"
STUBBORN = "trap '' TERM; echo started; while :; do sleep 0.1; done"


@pytest.fixture
def alone(machines):
    """A machine that a test may do anything to, removed at the end."""
    machine = machines.make()
    yield machine
    machine.remove()


def is_there(machine):
    """Whether anything of a deployment is on a machine."""
    return (machine.home / ".optiprov").exists()


def test_nothing_is_left_of_a_deployment_on_its_machines(deploy, static_layers, pair):
    """Neither processes, of which one has left its session and one does not yield to TERM, nor files."""
    workflow = (
        "- hosts: all\n  launch:\n  - shell: setsid --fork sleep 300\n"
        f'  - shell: "{STUBBORN}"\n    poll: 0\n  - shell: exec sleep 300\n    poll: 0\n'
    )
    deployment = deploy(workflow, static_layers())
    deployment.prepare()
    deployment.launch()
    for machine in pair:
        wait_until(lambda machine=machine: len(machine.running(name="sleep")) >= 3)
        assert is_there(machine)
    deployment.finalize()
    for machine in pair:
        assert [name for name, _ in machine.processes() if name not in ("sshd", "sshd-session")] == []
        assert not is_there(machine)


def test_output_arrives_while_a_task_runs(deploy, static_layers, pair):
    """A log grows as the process writes, and the task ends with its leader, whatever that leaves behind."""
    workflow = (
        "- hosts: edge\n  launch:\n  - shell: echo begun; read line < gate; echo $line\n    poll: 0\n"
        "  - shell: (sleep 1; echo late) & echo early\n"
    )
    deployment = deploy(workflow, static_layers())
    deployment.prepare()
    subprocess.run(["mkfifo", pair[1].home / deployment.hosts[1].working_dir[6:] / "gate"], check=True)
    deployment.launch()
    first, second = sorted((deployment.directory / "logs" / "edge.worker.1.1").glob("launch-*.out"))
    assert second.read_text() == "early\n"
    wait_until(lambda: first.read_text() == "begun\n")
    (pair[1].home / deployment.hosts[1].working_dir[6:] / "gate").write_text("gone on\n")
    wait_until(lambda: first.read_text() == "begun\ngone on\n")


def test_task_is_ended_on_its_host_at_its_limit(deploy, static_layers, pair):
    """And so is what it started."""
    workflow = "- hosts: edge\n  launch:\n  - shell: sleep 300 & sleep 300\n    async: 1\n    poll: 1\n"
    deployment = deploy(workflow, static_layers())
    deployment.prepare()
    with pytest.raises(DeploymentError, match=r"not done within its limit of 1 s \(async\)"):
        deployment.launch()
    assert pair[1].running(name="sleep") == []


def test_status_that_ssh_has_too_is_the_tasks_own(deploy, static_layers):
    """A task may exit with 255."""
    deployment = deploy("- hosts: edge\n  launch:\n  - shell: exit 255\n", static_layers())
    deployment.prepare()
    with pytest.raises(DeploymentError, match=r"failed on host edge\.worker\.1\.1 with exit status 255"):
        deployment.launch()


def test_killed_ssh_server_fails_the_tasks_of_its_host_alone(alone, deploy, static_layers, pair):
    """They are told as lost, and ended there; the host is used again when it is back."""
    workflow = (
        "- hosts: all\n  launch:\n"
        "  - shell: case {{ _self.layer_id }} in 2) test -e again || exec sleep 300;; esac\n"
        "  - shell: echo I go on\n"
    )
    deployment = deploy(workflow, static_layers(pair[0], alone))
    deployment.prepare()
    deployment.launch(wait=False)
    wait_until(lambda: alone.running(name="sleep"))
    alone.kill_sshd()
    with pytest.raises(DeploymentError, match=r"on host edge\.worker\.1\.1: connection lost: root@"):
        deployment.wait(PATIENCE_S)
    assert "I go on" in next(deployment.directory.glob("logs/cloud.*/launch-02*.out")).read_text()
    wait_until(lambda: not alone.running(name="sleep"))
    (alone.home / deployment.hosts[1].working_dir[6:] / "again").touch()
    alone.start()
    deployment.launch()
    out = sorted(deployment.directory.glob("logs/edge.*/launch-*.out"))
    assert out[-1].read_text() == "I go on\n"


def test_host_that_is_away_fails_its_tasks_with_how_to_have_it(alone, deploy, static_layers, pair):
    """The failure is that of the connection; the others go on."""
    deployment = deploy("- hosts: all\n  launch:\n  - shell: echo done > it\n", static_layers(pair[0], alone))
    deployment.prepare()
    alone.kill_sshd()
    wait_until(lambda: not deployment.hosts[1].connection.is_open)
    with pytest.raises(
        DeploymentError, match=r"edge\.worker\.1\.1: HostUnavailable: .*nothing listens there"
    ):
        deployment.launch()
    assert deployment.hosts[0].files.read("it") == b"done\n"


def test_cut_network_fails_tasks_and_ends_them_on_the_host(alone, deploy, static_layers, pair, monkeypatch):
    """Here as soon as the other end does not answer; there too, though its sshd hears of nothing."""
    monkeypatch.setattr(bootstrap, "SILENCE_S", 4.0)
    monkeypatch.setattr(channel, "PING_INTERVAL_S", 0.5)
    deployment = deploy(SLEEP, static_layers(pair[0], alone, options=QUICK))
    deployment.prepare()
    deployment.launch(wait=False)
    wait_until(lambda: alone.running(name="sleep") and pair[0].running(name="sleep"))
    alone.cut()
    wait_until(lambda: not deployment.hosts[1].connection.is_open)
    wait_until(lambda: not alone.running(name="sleep"))
    assert pair[0].running(name="sleep")
    deployment.stop()
    alone.join()
    deployment.finalize()
    assert not is_there(alone)


def test_connection_that_is_made_again_takes_the_place_of_the_old_one(alone, deploy, static_layers, pair):
    """Its tasks are ended on the host, its sshd gives way, and the broker is reached by the same address."""
    broker = "127.0.0.1:19777"
    deployment = deploy(
        "- hosts: edge\n  launch:\n  - shell: echo $PROVLIGHT_SERVER_URL; test -e again || exec sleep 300\n",
        static_layers(pair[0], alone, options=QUICK),
        environment={"PROVLIGHT_SERVER_URL": broker},
    )
    deployment.prepare()
    deployment.launch(wait=False)
    wait_until(lambda: alone.running(name="sleep"))
    alone.cut()
    wait_until(lambda: not deployment.hosts[1].connection.is_open)
    with pytest.raises(DeploymentError, match="connection lost"):
        deployment.wait(PATIENCE_S)
    assert alone.running(name="sleep")  # nobody there knows yet
    alone.join()
    deployment.hosts[1].write(b"", "again", name="", mode=None)
    assert not alone.running(name="sleep")
    deployment.launch()
    outs = sorted(deployment.directory.glob("logs/edge.*/launch-*.out"))
    assert [out.read_text() for out in outs] == [f"{broker}\n"] * 2


OWNER = """
import sys, time
from pathlib import Path
from optiprov.deploy import Deployment, load_scenario
deployment = Deployment(load_scenario(Path(sys.argv[1])), Path(sys.argv[2]), deployment_id=sys.argv[3])
deployment.prepare()
deployment.launch(wait=False)
print("launched", flush=True)
time.sleep(300)
"""


def test_killed_driver_ends_what_it_started_and_the_next_start_removes_it(
    write_scenario, static_layers, pair, tmp_path
):
    """Its processes on hosts end; reaping removes its directories there, and brings provenance here."""
    results, name = tmp_path / "results", f"ssh-reaped-{os.getpid()}"
    scenario = write_scenario(SLEEP, static_layers())
    command = [sys.executable, "-c", OWNER, scenario, results / "deployment", name]
    owner = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        with owner.stdout:
            assert owner.stdout.readline() == "launched\n"
        for machine in pair:
            wait_until(lambda machine=machine: machine.running(name="sleep"))
        spool = pair[0].home / ".optiprov" / name / "cloud.master.1.1" / "spool" / "client"
        spool.mkdir()
        (spool / "client.json").write_text("{}")
    finally:
        owner.send_signal(signal.SIGKILL)
        owner.wait()
    for machine in pair:
        wait_until(lambda machine=machine: not machine.running(name="sleep"))
    assert all(map(is_there, pair))
    assert reap_abandoned(results) == [name]
    assert not any(map(is_there, pair))
    assert (results / "deployment/hosts/cloud.master.1.1/spool/client/client.json").read_text() == "{}"
    assert reap_abandoned(results) == []


def test_hosts_that_cannot_be_reached_are_reaped_at_a_later_start(
    write_scenario, static_layers, pair, alone, tmp_path, caplog
):
    """What stays where is told, and it is tried again."""
    results, name = tmp_path / "results", f"ssh-reaped-later-{os.getpid()}"
    scenario = write_scenario("[]\n", static_layers(pair[0], alone, options=QUICK))
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, scenario, results / "deployment", name],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        with owner.stdout:
            assert owner.stdout.readline() == "launched\n"
        alone.kill_sshd()
    finally:
        owner.send_signal(signal.SIGKILL)
        owner.wait()
    assert reap_abandoned(results) == []
    assert f"host edge.worker.1.1 cannot be reached: ~/.optiprov/{name} stays there" in caplog.text
    assert not is_there(pair[0])
    alone.start()
    assert reap_abandoned(results) == [name]
    assert not is_there(alone)


def test_what_is_left_on_a_host_that_is_away_at_the_end_is_removed_later(
    alone, deploy, static_layers, pair, tmp_path
):
    """A trial ends all the same; its directory there is gone when the next study has started."""
    layers = static_layers(pair[0], alone, options=QUICK)
    name = f"ssh-left-{os.getpid()}"
    deployment = deploy("[]\n", layers, directory=tmp_path / "results" / name, deployment_id=name)
    deployment.prepare()
    alone.kill_sshd()
    deployment.finalize()
    assert not is_there(pair[0])
    alone.start()
    assert is_there(alone)
    journal = deployment.directory / JOURNAL_NAME
    first, *others = journal.read_text().splitlines()
    ended = json.dumps({**json.loads(first), "owner_start": 1})  # as if the process that ran it had ended
    journal.write_text("\n".join([ended, *others, ""]))
    assert reap_abandoned(tmp_path / "results") == [name]
    assert not is_there(alone)


def test_deployments_beside_each_other_share_machines(deploy, static_layers, pair):
    """Each has directories, ports and a way to the broker of its own, which outlive the other."""
    broker = "127.0.0.1:19778"
    workflow = "- hosts: edge\n  launch:\n  - shell: pwd; echo $PROVLIGHT_SERVER_URL {{ _self.port }}\n"
    deployments = [
        deploy(workflow, static_layers(), environment={"PROVLIGHT_SERVER_URL": broker}) for _ in range(2)
    ]
    told = []
    for deployment in deployments:
        deployment.prepare()
        deployment.launch()
        told.append(next(deployment.directory.glob("logs/edge.*/*.out")).read_text().split())
    (directory, url, port), (other_directory, other_url, other_port) = told
    assert url == broker
    assert len({directory, other_directory}) == len({url, other_url}) == len({port, other_port}) == 2
    deployments[0].finalize()
    deployments[1].launch()
    assert all(map(is_there, pair))
    deployments[1].finalize()
    assert not any(map(is_there, pair))


def test_connections_of_a_killed_process_leave_no_process_here(write_scenario, static_layers, tmp_path):
    """The ssh that holds a connection ends some seconds after who made it."""
    name = f"ssh-held-{os.getpid()}"
    scenario = write_scenario("[]\n", static_layers())
    command = [sys.executable, "-c", OWNER, scenario, tmp_path / "deployment", name]
    owner = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    with owner.stdout:
        assert owner.stdout.readline() == "launched\n"
    assert held(name)
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    wait_until(lambda: not held(name))
    reap_abandoned(tmp_path)


def held(name):
    """The processes here that hold a deployment's connections."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"OPTIPROV_SSH_OF={name}".encode() in path.read_bytes().split(b"\0"):
                found.append(path)
        except OSError:
            continue
    return found
