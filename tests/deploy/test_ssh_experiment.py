"""Experiments on hosts that are reached by SSH: each step a process of its own, or as good as one."""

import subprocess
import sys

import pytest
import yaml

from optiprov import connect
from optiprov.deploy import Experiment
from optiprov.errors import HostUnavailable
from tests.waiting import wait_until

RECORDER = """
import sys, time
from optiprov import Data, Task, Workflow
workflow = Workflow("work")
workflow.begin()
for number in range(3):
    task = Task(number, workflow, "work")
    task.begin([Data("work_input", "work", [], {"number": number})])
    task.end([Data("work_output", "work", [], {"square": number * number})])
if sys.argv[1:] == ["lives"]:
    print("lives on", flush=True)
    time.sleep(300)
workflow.end()
"""


def command(verbs, scenario):
    """Run a command of optiprov on a scenario, to its end."""
    verb, *stage = verbs.split()
    done = subprocess.run(
        [sys.executable, "-m", "optiprov.cli", verb, str(scenario), *stage],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def of_ours(machine):
    """The names of what a deployment has running on a machine."""
    return [name for name, _ in machine.processes() if not name.startswith("sshd")]


def test_steps_that_are_processes_of_their_own_find_the_hosts_again(write_scenario, static_layers, pair):
    """What one leaves in the background goes on, with its log; nothing is left when it is destroyed."""
    workflow = (
        "- hosts: edge\n  prepare:\n  - shell: echo {{ working_dir }} > where\n"
        "  launch:\n  - shell: while test -e where; do echo tick; sleep 0.1; done\n    poll: 0\n"
        "  - shell: cat where\n  finalize:\n  - fetch: {src: where, dest: where}\n"
    )
    scenario = write_scenario(workflow, static_layers())
    before = [machine.connections for machine in pair]
    for step in ("layers-services", "workflow prepare", "workflow launch"):
        command(step, scenario)
    experiment = Experiment.open(scenario)
    ticks = next(experiment.directory.glob("logs/edge.*/launch-01*.out"))
    size = ticks.stat().st_size
    wait_until(lambda: ticks.stat().st_size > size)
    command("finalize", scenario)
    assert of_ours(pair[1]) == []
    where = (experiment.directory / "fetched/edge.worker.1.1/where").read_text()
    assert where == f"/root/.optiprov/{experiment._state.id}/edge.worker.1.1/work\n"
    command("destroy", scenario)
    assert not any((machine.home / ".optiprov").exists() for machine in pair)
    assert [machine.connections for machine in pair] == [count + 1 for count in before]


def test_destroying_tells_what_stays_on_a_host_that_is_away(
    machines, write_scenario, static_layers, pair, caplog
):
    """The others are removed; what stays is too, when it is destroyed again and the machine is back."""
    alone = machines.make()
    experiment = Experiment.create(write_scenario("[]\n", static_layers(pair[0], alone)), None)
    experiment.layers_services()
    alone.kill_sshd()
    Experiment.destroy_at(experiment.directory)
    assert "host edge.worker.1.1 cannot be reached: /root/.optiprov/" in caplog.text
    assert "stays there, with what was not sent of its provenance" in caplog.text
    assert not (pair[0].home / ".optiprov").exists()
    alone.start()
    assert (alone.home / ".optiprov").exists()
    Experiment.destroy_at(experiment.directory)
    assert not (alone.home / ".optiprov").exists()
    assert not (pair[0].home / ".optiprov").exists()
    alone.remove()


def test_hosts_that_were_not_all_had_are_destroyed(write_scenario, machines, pair, caplog):
    """What was made on the machines that answered is removed, and it is told that another one never did."""
    testbed = machines.testbed(pair[0])
    testbed["hosts"].append({"address": pair[1].address, "port": 9})
    layers = [{"name": "edge", "services": [{"name": "Worker", "quantity": 2}]}]
    environment = {"job_name": "test", "static": testbed}
    scenario = write_scenario("[]\n", yaml.safe_dump({"environment": environment, "layers": layers}))
    experiment = Experiment.create(scenario, None)
    for _ in range(2):  # tried again, it is the same
        with pytest.raises(HostUnavailable, match="nothing listens there"):
            experiment.layers_services()
    assert (pair[0].home / ".optiprov").exists()
    caplog.clear()
    Experiment.destroy_at(scenario)
    assert not (pair[0].home / ".optiprov").exists()
    assert not Experiment.open(experiment.directory).has_hosts
    told = [line for line in caplog.messages if "was not deployed and cannot be reached" in line]
    assert [line.split()[1] for line in told] == ["edge.worker.1.2"]


def test_scenario_that_cannot_be_used_any_more_is_destroyed_on_its_machines(
    write_scenario, static_layers, pair
):
    """From the journal alone."""
    scenario = write_scenario("[]\n", static_layers())
    Experiment.create(scenario, None).layers_services()
    assert all((machine.home / ".optiprov").exists() for machine in pair)
    (scenario / "workflow.yaml").write_text("- nothing\n")
    Experiment.destroy_at(scenario)
    assert not any((machine.home / ".optiprov").exists() for machine in pair)


def test_provenance_of_hosts_is_stored_by_the_service_here(write_scenario, static_layers, pair):
    """Of what has ended and of what goes on after its command, over the connection that is kept for it."""
    layers = yaml.safe_load(static_layers())
    for layer in layers["layers"]:
        layer["services"][0]["roles"] = ["provenance"]
    layers["provenance"] = {}
    workflow = (
        "- hosts: all\n  prepare:\n  - copy: {src: recorder.py, dest: recorder.py}\n"
        "- hosts: cloud\n  launch:\n  - shell: exec python3 recorder.py\n"
        "- hosts: edge\n  launch:\n  - shell: exec python3 recorder.py lives\n    poll: 0\n"
    )
    scenario = write_scenario(workflow, yaml.safe_dump(layers))
    (scenario / "recorder.py").write_text(RECORDER)
    try:
        for step in ("layers-services", "workflow prepare", "workflow launch"):
            command(step, scenario)
        experiment = Experiment.open(scenario)
        log = next(experiment.directory.glob("logs/edge.*/launch-*.out"))
        wait_until(lambda: log.read_text() == "lives on\n")
        assert [name for name in of_ours(pair[1]) if name == "python3"]
        command("finalize", scenario)
    finally:
        command("destroy", scenario)
    stored = connect(f"duckdb://{experiment.directory}/provenance-data/provenance.duckdb")
    squares = stored.sql("SELECT square FROM work_output ORDER BY square")["square"]
    assert squares.tolist() == [0, 0, 1, 1, 4, 4]
    assert sorted(stored.runs()["status"]) == ["finished", "stopped"]
    assert not (experiment.directory / "hosts").exists()
