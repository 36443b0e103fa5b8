"""Tasks on hosts that are reached by SSH, beyond the table of tasks: of ansible-core, and many at a time."""

import socket
import threading

import pytest

from optiprov.deploy.providers.ssh.connection import Connection
from optiprov.deploy.providers.ssh.machine import Machine
from tests.waiting import wait_until


def test_ansible_runs_on_hosts_reached_by_ssh(deploy, static_layers, pair):
    """With modules that need files there, in the background too, in the host's environment and directory."""
    pytest.importorskip("ansible", reason="ansible-core, the extra `ansible`, is not installed")
    workflow = (
        "- hosts: all\n  prepare:\n  - block:\n"
        "    - lineinfile: {path: '{{ working_dir }}/lines', line: 'of {{ _self.host_id }}', create: true}\n"
        "    - copy: {content: there, dest: '{{ working_dir }}/copied'}\n"
        "  - command: pwd\n    register: it\n"
        "  - shell: echo $OPTIPROV_HOST {{ it.stdout == working_dir }}; cat lines copied\n"
        "    environment: {OWN: own}\n    async: 60\n    poll: 1\n    register: said\n"
        "  - debug: {msg: '{{ said.stdout }}'}\n"
        "  - fetch: {src: '{{ working_dir }}/lines', dest: lines, flat: true}\n"
    )
    deployment = deploy(workflow, static_layers())
    deployment.prepare()
    for host in deployment.hosts:
        fetched = deployment.directory / "fetched" / host.id / "lines"
        assert fetched.read_text() == f"of {host.id}\n"
        said = next((deployment.directory / "logs" / host.id).glob("prepare-*debug*.out")).read_text()
        assert said == f"{host.id} True\nof {host.id}\nthere\n"
    deployment.finalize()
    for machine in pair:
        assert [path.name for path in machine.home.iterdir() if path.name.startswith((".opti", ".ans"))] == []


def test_variables_of_a_task_are_for_the_host_alone(deploy, static_layers):
    """A PATH that leads nowhere here is one for there: the ssh does not have it."""
    task = "- command: {argv: [/bin/sh, -c, 'echo $PATH $LD_PRELOAD']}\n    "
    variables = "environment: {PATH: /of/the/host, LD_PRELOAD: /of/the/host.so}\n"
    deployment = deploy(f"- hosts: edge\n  launch:\n  {task}{variables}", static_layers())
    deployment.prepare()
    deployment.launch()
    out = next(deployment.directory.glob("logs/edge.*/launch-*.out"))
    assert out.read_text() == "/of/the/host /of/the/host.so\n"


def test_more_tasks_run_at_once_than_a_connection_takes(machines, deploy, static_layers):
    """An sshd takes ten sessions a connection by default: further ones get connections of their own."""
    machine = machines.make(more="MaxSessions 3")
    workflow = "- hosts: edge\n  launch:\n"
    for number in range(6):
        workflow += f"  - shell: touch begun{number}; until test -e on; do sleep 0.1; done\n    poll: 0\n"
    workflow += "  - shell: until test $(ls begun* | wc -l) = 6; do sleep 0.1; done; touch on\n"
    deployment = deploy(workflow, static_layers(machine, machine))
    deployment.prepare()
    deployment.launch()
    wait_until(lambda: not machine.running(name="sleep"))


def told_environment(deploy, static_layers, tmp_path, **more):
    """What a process of a host is told of a broker here with a login and a CA of its own."""
    (tmp_path / "ca.pem").write_text("the CA")
    environment = {
        "OPTIPROV_BROKER": "mqtts://me:secret@127.0.0.1:19779/prefix",
        "OPTIPROV_BROKER_CA": str(tmp_path / "ca.pem"),
        "OPTIPROV_STORE": "http://elsewhere.example.org:22000",
    }
    workflow = (
        "- hosts: edge\n  launch:\n"
        "  - shell: echo $OPTIPROV_BROKER $OPTIPROV_STORE $(cat $OPTIPROV_BROKER_CA)\n"
    )
    deployment = deploy(workflow, static_layers(**more), environment=environment)
    deployment.prepare()
    deployment.launch()
    return next(deployment.directory.glob("logs/edge.*/launch-*.out")).read_text().split(" ", 2)


def test_broker_is_reached_through_the_connection(deploy, static_layers, tmp_path):
    """At the address it has here, with its login and its CA; what is not on this machine stays as it is."""
    assert told_environment(deploy, static_layers, tmp_path) == [
        *("mqtts://me:secret@127.0.0.1:19779/prefix", "http://elsewhere.example.org:22000", "the CA\n"),
    ]


def test_broker_is_reached_directly_where_that_is_asked_for(deploy, static_layers, pair, tmp_path):
    """At the address that this machine has for the host's."""
    own = pair[1].gateway
    broker = told_environment(deploy, static_layers, tmp_path, reach="direct")[0]
    assert broker == f"mqtts://me:secret@{own}:19779/prefix"


def test_machine_that_turns_away_whoever_comes_while_many_log_in_is_tried_again(machines):
    """As an sshd does (MaxStartups), that of a jump host first of all."""
    machine = machines.make(more="MaxStartups 2")
    settings = {"user": "root", "key_file": str(machines.key), "known_hosts": str(machines.known_hosts)}
    connection = Connection(Machine(machine.address, **settings), "turned-away", "")
    others = [socket.create_connection((machine.address, 22)) for _ in range(2)]
    opening = threading.Thread(target=connection.open)
    opening.start()
    try:
        wait_until(lambda: "MaxStartups" in machine.log.read_text())
    finally:
        for other in others:
            other.close()
        opening.join()
        assert connection.is_open
        connection.call("remove")
        connection.close()
