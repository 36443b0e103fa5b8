"""The Master: hand out hyperparameters, one set at a time, and collect the accuracy that each obtained.

Its only client is a Worker, which asks over TCP; each message is a line of JSON. The Master sends a set of
hyperparameters, the Worker answers with the accuracy, and so on; a set that is `null` ends the conversation.
"""

from __future__ import annotations

import argparse
import csv
import json
import socket
import sys
from pathlib import Path

WORKER_TIMEOUT_S = 120.0


def read_sets(path: Path) -> list[dict[str, int]]:
    """Return the sets of hyperparameters of a CSV file."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: int(value) for name, value in row.items()} for row in csv.DictReader(file)]


def serve(port: int, sets: list[dict[str, int]]) -> list[dict[str, float]]:
    """Have a Worker try each set; return the sets with the accuracy that each obtained.

    Raises:
        OSError: no Worker came, or it fell silent for two minutes.
        ConnectionError: the Worker left before the last set.
    """
    with socket.create_server(("", port)) as server:
        server.settimeout(WORKER_TIMEOUT_S)
        worker, _ = server.accept()
    worker.settimeout(WORKER_TIMEOUT_S)
    results: list[dict[str, float]] = []
    with worker, worker.makefile("rw", encoding="utf-8") as link:
        for chosen in sets:
            print(json.dumps(chosen), file=link, flush=True)
            answer = link.readline()
            if not answer:
                raise ConnectionError(f"the Worker left after {len(results)} of {len(sets)} sets")
            results.append({**chosen, "accuracy": json.loads(answer)["accuracy"]})
        print("null", file=link, flush=True)
    return results


def main() -> int:
    """Serve and write the results; return the exit status."""
    parser = argparse.ArgumentParser(description="Hand out hyperparameters to a Worker.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--sets", type=Path, required=True, help="CSV file of hyperparameters")
    parser.add_argument("--results", type=Path, required=True, help="CSV file to write")
    options = parser.parse_args()
    try:
        results = serve(options.port, read_sets(options.sets))
    except OSError as error:
        print(f"master.py: {error}", file=sys.stderr)
        return 1
    with options.results.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, results[0])
        writer.writeheader()
        writer.writerows(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
