"""How long `optiprov check` and `optiprov deploy` take, as commands, with the start of Python.

What a deployment leaves is counted: a run whose tasks were not done is no measurement.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from experiments.deploy_overhead.scenario import answers_below, hosts_of
from experiments.overhead.cpu import report
from experiments.overhead.scratch import scratch_directory

_FOLDER = Path(__file__).parent
_OPTIPROV = Path(sys.executable).parent / "optiprov"


def main() -> None:
    """Run the command once, and print seconds of wall-clock and CPU time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=["check", "deploy"])
    parser.add_argument("scenario", help="a folder beside this file")
    options = parser.parse_args()
    scenario = _FOLDER / options.scenario
    directory = scratch_directory()
    more = ["--destroy", "--output", str(directory)] if options.command == "deploy" else []
    before, started = os.times(), time.perf_counter()
    done = subprocess.run(
        [_OPTIPROV, options.command, scenario, *more], capture_output=True, text=True, check=False
    )
    wall_s, after = time.perf_counter() - started, os.times()
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    if done.returncode:
        raise RuntimeError(f"optiprov {options.command} {scenario} failed: {done.stderr}")
    wanted = hosts_of(scenario)
    if options.command == "check":
        is_done = f"fine, {wanted} hosts" in done.stdout
    else:
        is_done = answers_below(directory) == wanted
    if not is_done:
        raise RuntimeError(f"optiprov {options.command} {scenario} has not done all on {wanted} hosts")
    report(wall_s=wall_s, cpu_s=cpu_s)


if __name__ == "__main__":
    main()
