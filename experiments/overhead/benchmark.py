"""Runs every measurement, ours and the peers' by turns, and prints one table.

Each run of a measurement is a process of its own, alone on the machine but for what it starts itself. A peer
that is not there is printed as not measured.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optiprov
from experiments.overhead.plan import MEASUREMENTS
from experiments.overhead.table import cite, rows_of, write_results, write_table

if TYPE_CHECKING:
    from experiments.overhead.measurement import Measurement

_ROOT = Path(__file__).parents[2]
_PEERS = ("flowcept", "mlflow-skinny", "lmdb", "redis", "ansible-core")


def main() -> None:
    """Run the benchmark, print its table, and write it as text, JSON and a picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small: shows that it works, and no figures")
    parser.add_argument("--peers", type=Path, help="the Python in whose environment the peers are")
    parser.add_argument("--only", nargs="*", help="names of measurements; the others are not run")
    parser.add_argument("--out", type=Path, help="where to write; by default results/overhead and docs")
    options = parser.parse_args()
    if options.peers is not None and not options.peers.exists():
        parser.error(f"--peers: there is no {options.peers}; `make bench` makes it")
    machine = describe_machine(options.peers)
    if options.quick:
        machine["short mode"] = "a few tasks, once: the figures are no measurement"
    with tempfile.TemporaryDirectory(prefix="optiprov-stores-") as stores:
        runs = run_all(options.only, options.peers, stores, is_quick=options.quick)
    machine["load at the end"] = _load()
    rows = rows_of(runs)
    if options.out is not None:
        write_results(options.out, rows, runs, machine)
    elif not options.quick:
        write_results(_ROOT / "results" / "overhead", rows, runs, machine)
        cite(_ROOT / "docs" / "performance.md", write_table(rows, machine))
    sys.stdout.write(write_table(rows, machine))


def run_all(
    only: list[str] | None, peers: Path | None, stores: str, *, is_quick: bool
) -> dict[str, list[dict[str, Any]]]:
    """Run the measurements in rounds, so that what is compared runs at the same time of day.

    Returns:
        What each run has printed, by the name of the measurement.
    """
    runs: dict[str, list[dict[str, Any]]] = {one.name: [] for one in MEASUREMENTS}
    chosen = [one for one in MEASUREMENTS if only is None or one.name in only]
    for group in _groups(chosen):
        for number in range(max(one.times for one in group)):
            for one in group:
                if number < (1 if is_quick else one.times) and (one.side == "own" or peers is not None):
                    python = peers if one.side == "peer" and peers is not None else Path(sys.executable)
                    runs[one.name].append(_run(one, python, stores, is_quick=is_quick))
    return runs


def _groups(measurements: list[Measurement]) -> list[list[Measurement]]:
    """Put each of ours with the peers that follow it."""
    groups: list[list[Measurement]] = []
    for one in measurements:
        if one.side == "own" or not groups:
            groups.append([])
        groups[-1].append(one)
    return groups


def _run(one: Measurement, python: Path, stores: str, *, is_quick: bool) -> dict[str, Any]:
    options = [option.format(stores=stores) for option in (one.quick if is_quick else one.options)]
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OPTIPROV_", "PROVLIGHT_", "FLOWCEPT_", "COV_"))
        or name == "OPTIPROV_TEST_MONETDB"
    }
    environment["PYTHONPATH"] = str(_ROOT)
    # What is installed is compiled; where nothing may be written, each start of ours would compile it anew.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.stderr.write(f"{one.name} {' '.join(options)}\n")
    script = _ROOT / "experiments" / one.folder / f"{one.script}.py"
    command = [str(python), str(script), *options]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{one.name}: {' '.join(command)} ended with status {done.returncode}")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def describe_machine(peers: Path | None) -> dict[str, Any]:
    """Return what the figures were measured on, and with."""
    usable = len(os.sched_getaffinity(0))
    described = {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "processor": f"{_processor()}, {usable} cores",
        "python": platform.python_version(),
        "optiprov": optiprov.__version__,
        "load before": _load(),
    }
    if peers is not None:
        described["peers"] = _versions(peers)
    return described


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _load() -> str:
    return " ".join(f"{one:.2f}" for one in os.getloadavg())


def _versions(python: Path) -> str:
    script = (
        "import importlib.metadata as m, sys\n"
        "known = {d.name.lower(): d.version for d in m.distributions()}\n"
        "print(', '.join(f'{n} {known[n]}' for n in sys.argv[1:] if n in known))"
    )
    done = subprocess.run([str(python), "-c", script, *_PEERS], capture_output=True, text=True, check=True)
    return done.stdout.strip()


if __name__ == "__main__":
    main()
