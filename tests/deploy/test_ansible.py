import importlib.util
import re
from pathlib import Path

import pytest
import yaml

from optiprov.deploy import Deployment, load_scenario, plays
from optiprov.deploy.ansible.playbook import playbook_text
from optiprov.deploy.plays import reason_for_ansible
from optiprov.errors import DeploymentError, ScenarioError

needs_ansible = pytest.mark.skipif(
    importlib.util.find_spec("ansible") is None, reason="ansible-core, the extra `ansible`, is not installed"
)

PLAY = """\
- hosts: all
  prepare:
    - name: try it
      block:
        - name: fails
          command: "false"
      rescue:
        - debug: msg=rescued
    - copy: {src: greeting.txt, dest: /tmp/greeting, mode: "0600"}
    - name: look
      shell: >-
        cat /tmp/greeting; pwd; echo $HOME $A {{ _self.host_id }};
        echo {{ item }}
      loop: [1, 2]
    - fetch: {src: /tmp/greeting, dest: there/}
    - include_tasks: more.yaml
    - {name: later, shell: sleep 0.2; echo later, async: 30, poll: 0}
    - command: "false"
      when: _self.layer_id == "2"
    - {name: last, shell: echo last}
"""


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        ("apt: {name: git}", "apt"),
        ("community.docker.docker_container: {name: x}", "community.docker.docker_container"),
        ("block: [{command: ls}]", "block"),
        ("command: ls\n      notify: x", "notify"),
        ("command: ls\n      delegate_to: localhost", "delegate_to"),
        ("copy: {content: a, dest: b, validate: c}", "copy with validate"),
        ("command: ls\n      with_nested: [[1], [2]]", "with_nested"),
        ("command: echo {{ 'x' | password_hash }}", "filter password_hash"),
        ("command: echo {{ lookup('password', 'x') }}", "lookup password"),
        ("ansible.builtin.command: ls", None),
        ("command: ls\n      become: true\n      tags: [x]", None),
    ],
)
def test_stage_needs_ansible_when_a_task_does(write_scenario, task, reason):
    """What optiprov does not do itself is told from what it does, by module, keyword, argument and filter."""
    scenario = load_scenario(write_scenario(f"- hosts: all\n  launch:\n    - {task}\n    - command: ls\n"))
    found = reason_for_ansible(scenario.plays[0], "launch")
    assert (found and found.what) == reason
    assert reason_for_ansible(scenario.plays[0], "prepare") is None


@pytest.mark.parametrize(
    ("keyword", "stages"),
    [
        ("roles: [x]", {"prepare"}),
        ("handlers: []", {"launch"}),
        ("serial: 1", {"launch"}),
        ("become: true", set()),
    ],
)
def test_stage_needs_ansible_when_its_play_does(write_scenario, keyword, stages):
    """Roles belong to the stage prepare, other keywords to each stage that has tasks."""
    scenario = load_scenario(write_scenario(f"- hosts: all\n  {keyword}\n  launch:\n    - command: ls\n"))
    (play,) = scenario.plays
    assert {stage for stage in play.tasks if reason_for_ansible(play, stage)} == stages


def test_deployment_is_refused_without_the_extra(write_scenario, tmp_path, monkeypatch):
    """Before anything is made, with file, line, module and extra; the check of the files passes."""
    monkeypatch.setattr(plays, "find_spec", lambda _: None)
    scenario = load_scenario(
        write_scenario("- hosts: all\n  launch:\n    - command: ls\n    - apt: {name: git}\n")
    )
    expected = r"workflow.yaml:4: 'apt' is run by ansible-core.*pip install 'optiprov\[ansible\]'"
    with pytest.raises(ScenarioError, match=expected):
        Deployment(scenario, tmp_path / "deployment")


def test_tasks_stand_in_their_own_lines_in_the_playbook(write_scenario):
    """So that Ansible tells the lines of the scenario, in blocks too."""
    directory = write_scenario(PLAY)
    (directory / "greeting.txt").touch()
    scenario = load_scenario(directory)
    text = playbook_text(scenario.plays[0], "prepare", [])
    (play,) = yaml.safe_load(text)
    assert [task.get("name") for task in play["tasks"]][-1] == "last"
    lines = text.splitlines()
    for number, line in enumerate(PLAY.splitlines()):
        if "name: fails" in line or "name: last" in line:
            assert line.split("name: ")[1].split(",")[0] in lines[number]


@needs_ansible
def test_stage_runs_in_ansible_on_the_hosts(deploy, write_scenario):
    """In their namespace, directory and environment; recorded with lines, outcomes, output, background."""
    scenario = write_scenario(PLAY, layers=LAYERS)
    (scenario / "greeting.txt").write_text("hello\n")
    (scenario / "more.yaml").write_text(
        "- name: included\n  shell: echo included; exit 1\n  ignore_errors: true\n"
    )
    deployment = deploy(scenario=scenario)
    with pytest.raises(DeploymentError, match=r"workflow.yaml:18: task 'command' .* host edge.worker.1.1"):
        deployment.prepare()
    documents = list(yaml.safe_load_all((deployment.directory / "workflow-validate.out").read_text()))
    records = [task for document in documents for task in document["tasks"]]
    assert {(task["host"], task["line"], task["outcome"]) for task in records if task["line"] in (5, 18)} == {
        ("cloud.master.1.1", 5, "failed"),
        ("edge.worker.1.1", 5, "failed"),
        ("cloud.master.1.1", 18, "skipped"),
        ("edge.worker.1.1", 18, "failed"),
    }
    assert all(task["ignored"] for task in records if task["line"] == 5)  # it was rescued
    host = deployment.hosts[0]
    (look, *_) = [task for task in records if task["task"] == "look" and task["host"] == host.id]
    home = deployment.directory / "hosts" / host.id / "home"
    assert Path(look["stdout"]).read_text() == f"hello\n{host.working_dir}\n{home} service {host.id}\n1\n"
    assert (deployment.directory / "fetched" / host.id / "there" / "greeting").read_text() == "hello\n"
    ends = {task["host"]: task for task in records if task["task"] == "later" and task["outcome"] == "done"}
    assert ends.keys() == {"cloud.master.1.1", "edge.worker.1.1"}
    left = {path.name for path in deployment.directory.glob("ansible/*/*")}
    assert left == {
        *("ansible.cfg", "ansible.err", "ansible.out", "events.jsonl", "inventory.json", "playbook.yaml")
    }
    names = {task["task"] for task in records if task["host"] == host.id}
    assert {"included", "last"} <= names
    assert not {task["task"] for task in records if task["host"] == "edge.worker.1.1"} & {"last"}
    assert len(list((deployment.directory / "ansible").iterdir())) == 1  # one run, for all tasks and hosts


@needs_ansible
def test_limited_task_of_ansible_is_found_wherever_home_is(deploy, tmp_path, monkeypatch):
    """Where HOME is not what the user database says, some of its modules take the one, others the other."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    deployment = deploy(
        "- hosts: edge\n  prepare:\n    - set_fact: {x: 1}\n"
        "    - {name: late, shell: echo done, async: 30, poll: 1}\n"
    )
    deployment.prepare()
    (document,) = yaml.safe_load_all((deployment.directory / "workflow-validate.out").read_text())
    (end,) = [task for task in document["tasks"] if task["task"] == "late"]
    assert (end["outcome"], Path(end["stdout"]).read_text()) == ("done", "done\n")


@needs_ansible
def test_failure_in_ansible_is_told_as_one_of_ours(deploy):
    """File, line, host, command, exit status, and the end of its error output; other hosts go on."""
    deployment = deploy(
        "- hosts: all\n  launch:\n    - set_fact: {x: 1}\n"
        "    - {name: try, shell: 'echo first >&2; echo last words >&2; exit 5'}\n"
        "- hosts: cloud\n  launch:\n    - shell: echo never\n"
    )
    deployment.prepare()
    with pytest.raises(DeploymentError) as caught:
        deployment.launch()
    lines = str(caught.value).splitlines()
    expected = (
        r".*workflow.yaml:4: task 'try' of stage launch failed on host (cloud|edge)\S+ with exit status 5"
    )
    assert re.match(expected, lines[0])
    assert lines[1] == "  command: echo first >&2; echo last words >&2; exit 5"
    assert [line.strip() for line in lines if line.startswith("    ")][:2] == ["first", "last words"]
    assert len(list((deployment.directory / "ansible").iterdir())) == 1


@needs_ansible
def test_what_ansible_cannot_read_is_told(deploy):
    """A module that is not there is told with the play and what Ansible said."""
    deployment = deploy("- hosts: edge\n  prepare:\n    - nowhere.at.all: {x: 1}\n")
    with pytest.raises(
        DeploymentError, match=r"(?s)workflow.yaml:1: ansible-playbook could not run.*nowhere"
    ):
        deployment.prepare()


LAYERS = """\
environment: {local: }
layers:
  - {name: cloud, services: [{name: Master, env: {A: service}}]}
  - {name: edge, services: [{name: Worker, env: {A: service}}]}
"""
