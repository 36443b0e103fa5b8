"""Tasks on hosts that are reached by SSH, beyond the table of tasks: of ansible-core, and many at a time."""

import pytest

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


def test_machines_that_reach_this_one_directly_are_told_its_address(deploy, static_layers):
    """Without a forward: what they find is the address from which they were connected to."""
    workflow = (
        "- hosts: edge\n  launch:\n  - shell: echo $OPTIPROV_BROKER $PROVLIGHT_SERVER_URL; "
        "tr '\\0' '\\n' < /proc/$PPID/environ | grep ^SSH_CONNECTION=\n"
    )
    broker = {"OPTIPROV_BROKER": "mqtt://127.0.0.1:19779", "PROVLIGHT_SERVER_URL": "127.0.0.1:19779"}
    deployment = deploy(workflow, static_layers(reach="direct"), environment=broker)
    deployment.prepare()
    deployment.launch()
    told, connection = next(deployment.directory.glob("logs/edge.*/*.out")).read_text().splitlines()
    here = connection.removeprefix("SSH_CONNECTION=").split()[0]
    assert here != "127.0.0.1"
    assert told == f"mqtt://{here}:19779 {here}:19779"
