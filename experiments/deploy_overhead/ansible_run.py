"""How long ansible-core takes for the tasks of a scenario, on hosts of this machine, in a run of a playbook.

It is given what helps it: no facts are gathered, the connection is local, the interpreter of the hosts is
named, and each host has a directory of its own that is there. This runs in the environment of the peers.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import yaml

from experiments.deploy_overhead.scenario import answers_below, hosts_of
from experiments.overhead.cpu import report
from experiments.overhead.scratch import scratch_directory

_FOLDER = Path(__file__).parent
_STAGES = ("prepare", "launch", "finalize")


def main() -> None:
    """Run the playbook once, and print seconds of wall-clock and CPU time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario", help="a folder beside this file")
    options = parser.parse_args()
    scenario, directory = _FOLDER / options.scenario, scratch_directory()
    shutil.copytree(scenario / "artifacts", directory, dirs_exist_ok=True)
    write_inventory(scenario, directory)
    write_playbook(scenario, directory)
    environment = {**os.environ, "ANSIBLE_HOME": str(directory / "home"), "ANSIBLE_NOCOWS": "1"}
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "inventory.yaml", "playbook.yaml"]
    before, started = os.times(), time.perf_counter()
    subprocess.run(command, cwd=directory, env=environment, stdout=sys.stderr, check=True)
    wall_s, after = time.perf_counter() - started, os.times()
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    if answers_below(directory) != hosts_of(scenario):
        raise RuntimeError(f"ansible-playbook has not done all on {hosts_of(scenario)} hosts")
    report(wall_s=wall_s, cpu_s=cpu_s)


def write_inventory(scenario: Path, directory: Path) -> None:
    """Write the hosts, each with a working directory of its own, which is made."""
    hosts = {
        f"host{number}": {"working_dir": str(directory / f"host{number}")}
        for number in range(hosts_of(scenario))
    }
    for variables in hosts.values():
        Path(variables["working_dir"]).mkdir()
    common = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    inventory = {"all": {"hosts": hosts, "vars": common}}
    (directory / "inventory.yaml").write_text(yaml.safe_dump(inventory), encoding="utf-8")


def write_playbook(scenario: Path, directory: Path) -> None:
    """Write the plays of all stages, one stage after the other."""
    workflow = yaml.safe_load((scenario / "workflow.yaml").read_text(encoding="utf-8"))
    plays = [
        {"hosts": play["hosts"], "gather_facts": False, "tasks": play[stage]}
        for stage in _STAGES
        for play in workflow
        if stage in play
    ]
    (directory / "playbook.yaml").write_text(yaml.safe_dump(plays, sort_keys=False), encoding="utf-8")


if __name__ == "__main__":
    main()
