"""The benchmark of deploying: what it times is done, by optiprov and by its peer alike."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from experiments.deploy_overhead.ansible_run import write_inventory, write_playbook
from experiments.deploy_overhead.scenario import answers_below, hosts_of

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "experiments" / "deploy_overhead"


@pytest.mark.parametrize("arguments", [("deploy", "eight_plays"), ("check", "hundred_hosts")])
def test_command_is_timed_when_all_was_done(arguments, clean_environment):
    """The script ends with an error where hosts have not answered, so a figure means that they have."""
    command = [sys.executable, FOLDER / "command.py", *arguments]
    environment = {**clean_environment, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["wall_s"] > 0.01
    assert figures["cpu_s"] > 0.01


def test_playbook_has_the_plays_of_the_scenario(tmp_path):
    """Eight plays in the order of the stages, with the tasks as they are in workflow.yaml, on two hosts."""
    scenario = FOLDER / "eight_plays"
    write_playbook(scenario, tmp_path)
    write_inventory(scenario, tmp_path)
    plays = yaml.safe_load((tmp_path / "playbook.yaml").read_text())
    modules = [next(iter(task)) for play in plays for task in play["tasks"]]
    assert modules == ["file", "copy", "template", "command", "shell", "fetch", "debug", "file"]
    hosts = yaml.safe_load((tmp_path / "inventory.yaml").read_text())["all"]["hosts"]
    assert len(hosts) == hosts_of(scenario) == 2
    assert all(Path(host["working_dir"]).is_dir() for host in hosts.values())


def test_answers_are_counted_where_they_were_fetched(tmp_path):
    """What lies on the hosts themselves is no answer."""
    for path in ("a/fetched/one/answer.txt", "fetched/two/tmp/x/answer.txt", "hosts/one/answer.txt"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).touch()
    assert answers_below(tmp_path / "a") == 1
    assert answers_below(tmp_path) == 2
