"""Runs the demo study with its provenance in MonetDB: `python -m tests.monetdb.demo`, which `make` calls.

A server of its own is started for it. The objective of each trial is read from MonetDB, and the query at the
end, by another process, is answered by the database itself.
"""

import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.monetdb.server import MonetDBServer

_TRIALS = 6
_QUESTION = ["--where", "transformation = training", "--agg", "count:generated.accuracy", "--format", "json"]


def main():
    """Run the study, and ask for what it stored."""
    signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C is for the study, which needs the server
    with tempfile.TemporaryDirectory(prefix="optiprov-monetdb-") as directory:
        server = MonetDBServer(Path(directory) / "provenance")
        try:
            optiprov = [sys.executable, "-m", "optiprov.cli"]
            study = ["optimize", "experiments/digits/optimization.py", "--seed", "1"]
            options = ["--num-samples", str(_TRIALS), "--store", server.url]
            if status := subprocess.run([*optiprov, *study, *options], check=False).returncode:
                sys.exit(status)
            answer = subprocess.run(
                [*optiprov, "query", "--store", server.url, *_QUESTION],
                check=True, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
        finally:
            server.kill()
    ((count,),) = (row.values() for row in json.loads(answer.stdout))
    if not count:
        sys.exit("no training has been stored in MonetDB")
    sys.stdout.write(f"\nMonetDB has the accuracy of {count} trainings.\n")


if __name__ == "__main__":
    main()
