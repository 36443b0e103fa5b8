"""Two runs of a scenario give the same files, and tell their tasks the same."""

import json
from pathlib import Path

import pytest

LAYERS = """\
environment: {local: }
layers:
- {name: cloud, services: [{name: Master, flavour: big}]}
- {name: edge, services: [{name: Worker, quantity: 3}]}
"""
PLAYS = """\
- hosts: edge
  depends_on:
    - {service_selector: cloud, prefix: m}
    - {service_selector: all, prefix: every, grouping: aggregate}
  prepare:
    - copy: {content: "{{ [_self, m, every] | to_json }}", dest: told.json}
  launch:
    - {name: late, shell: cat, args: {stdin: hello}, async: 60, poll: 0}
    - script: a.sh
    - debug: {msg: "{{ _self.host_id }}"}
  finalize:
    - fetch: {src: told.json, dest: told.json}
"""


@pytest.fixture
def run_twice(deploy, write_scenario):
    """Runs a scenario two times and returns the directories."""

    def run(workflow):
        directory = write_scenario(workflow, LAYERS)
        (directory / "a.sh").write_text("#!/bin/sh\nls ~/.optiprov\n")
        deployments = [deploy(scenario=directory) for _ in range(2)]
        for deployment in deployments:
            deployment.prepare()
            deployment.launch()
            deployment.finalize()
        return [deployment.directory for deployment in deployments]

    return run


def names(directory):
    """The paths of all files below a directory."""
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


def told(path, directory):
    """What a host was told, without ports and the directory."""
    content = path.read_text().replace(str(directory), "DIRECTORY")
    documents = json.loads(content)
    ports = {one["port"] for one in documents[2]}
    for port in ports:
        content = content.replace(str(port), "PORT")
    return len(ports), content


def test_two_runs_give_the_same_names_and_variables(run_twice):
    """Ports are free ones of the machine, so they differ; all else of `_self` and of others does not."""
    first, second = run_twice(PLAYS)
    assert names(first) == names(second)
    fetched = [f"fetched/edge.worker.1.{machine}/told.json" for machine in (1, 2, 3)]
    assert [told(first / path, first) for path in fetched] == [
        told(second / path, second) for path in fetched
    ]
    assert told(first / fetched[0], first)[0] == 4
    (listed,) = (first / "logs" / "edge.worker.1.2").glob("launch-*-script.out")
    assert listed.read_text() == (second / listed.relative_to(first)).read_text() != ""


def test_runs_of_ansible_are_numbered_in_their_stage(deploy):
    """In the order of the plays, and on where another command has left off."""
    deployment = deploy()
    deployment.prepare()
    made = [
        deployment._equipment.workbench.make_ansible_dir(stage) for stage in ("prepare", "launch", "launch")
    ]
    assert [path.relative_to(deployment.directory) for path in made] == [
        Path("ansible", name) for name in ("prepare-01", "launch-01", "launch-02")
    ]
    deployment.use_app_conf(None)
    assert deployment._equipment.workbench.make_ansible_dir("launch").name == "launch-03"
