"""Runs the demo study with its provenance in MonetDB: `python -m tests.monetdb.demo`, which `make` calls.

A server of its own is started for it. The objective of each trial is read from MonetDB, and compared, by
another process that asks the database itself, with what the application has stored there.
"""

import csv
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.monetdb.server import MonetDBServer

TRIALS = 6
RESULTS = Path("results")
STORED = """
    SELECT r.trial_id, '{name}' AS source, o.accuracy FROM {name} o JOIN prov.run r ON r.run_id = o.run_id
    WHERE r.study = '{study}'"""


def main():
    """Run the study, and compare what it found with what it stored."""
    signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C is for the study, which needs the server
    study = f"digits-monetdb-{time.strftime('%Y%m%d-%H%M%S')}"
    with tempfile.TemporaryDirectory(prefix="optiprov-monetdb-") as directory:
        server = MonetDBServer(Path(directory) / "provenance")
        try:
            optiprov = [sys.executable, "-m", "optiprov.cli"]
            command = ["optimize", "experiments/digits/optimization.py", "--seed", "1", "--name", study]
            options = ["--num-samples", str(TRIALS), "--store", server.url, "--results", RESULTS]
            if status := subprocess.run([*optiprov, *command, *options], check=False).returncode:
                sys.exit(status)
            sql = " UNION ALL ".join(
                STORED.format(name=name, study=study) for name in ("training_output", "epoch_output")
            )
            answer = subprocess.run(
                [*optiprov, "sql", "--store", server.url, "--format", "json", sql],
                check=True, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
        finally:
            server.kill()
    with (RESULTS / study / "trials.csv").open(newline="") as file:
        trials = list(csv.DictReader(file))
    if wrong := differences(trials, json.loads(answer.stdout)):
        sys.exit("\n".join(wrong))
    sys.stdout.write(f"\nMonetDB has the objective of all {len(trials)} trials as trials.csv has it.\n")


def differences(trials, stored):
    """Return in what the trials differ from what the database has of them.

    Args:
        trials: the rows of trials.csv.
        stored: trial_id, source and accuracy of the rows that the applications have stored.
    """
    wrong = [] if len(trials) == TRIALS else [f"trials.csv has {len(trials)} trials of {TRIALS}"]
    for trial in trials:
        name, status = trial["trial_id"], trial["status"]
        source = {"finished": "training_output", "stopped": "epoch_output"}.get(status)
        there = [row["accuracy"] for row in stored if (row["trial_id"], row["source"]) == (name, source)]
        if source is None:
            wrong.append(f"{name} is {status}: {trial['reason']}")
        elif not trial["value"] or float(trial["value"]) not in there:
            wrong.append(f"{name}, {status}: trials.csv has {trial['value'] or 'nothing'}, MonetDB {there}")
        elif status == "finished" and len(there) != 1:
            wrong.append(f"{name}: MonetDB has {len(there)} results of its training")
    return wrong


if __name__ == "__main__":
    main()
