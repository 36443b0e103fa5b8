"""The Worker: train a small classifier of handwritten digits with the hyperparameters that the Master gives.

A bank of random filters slides over each of scikit-learn's 1,797 images (convolution), negative responses are
cut (ReLU), the largest response of each window is kept (max pooling), and ridge regression on these features
tells the digits apart. Each training is a task in the provenance, with its hyperparameters and its accuracy.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import socket
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from provlight.data import Data
from provlight.task import Task
from provlight.workflow import Workflow

DATAFLOW = "tutorial"
IMAGE_SIDE = 8
TEST_IMAGES = 450
RIDGE = 1.0
CONNECT_TIMEOUT_S = 30.0
REPLY_TIMEOUT_S = 120.0

Images = NDArray[np.float64]


def load_images() -> tuple[Images, NDArray[np.int64]]:
    """Return the images, of shape (n, 8, 8) from 0 to 1, and the digit that each shows, in random order."""
    spec = importlib.util.find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("the images come with scikit-learn: pip install scikit-learn")
    # From the file: importing scikit-learn takes longer than all that is done here.
    path = Path(spec.submodule_search_locations[0], "datasets", "data", "digits.csv.gz")
    rows = np.random.default_rng(0).permutation(np.loadtxt(path, delimiter=","))
    return rows[:, :-1].reshape(-1, IMAGE_SIDE, IMAGE_SIDE) / 16, rows[:, -1].astype(np.int64)


def extract(images: Images, chosen: dict[str, int]) -> Images:
    """Return the features of images, of shape (n, num_features), and a constant one."""
    size, stride, pooling = chosen["kernel_size"], chosen["length_of_strides"], chosen["pooling_size"]
    filters = np.random.default_rng(1).standard_normal((size * size, chosen["num_kernels"]))
    windows = np.lib.stride_tricks.sliding_window_view(images, (size, size), axis=(1, 2))
    patches = windows[:, ::stride, ::stride]
    count, side = patches.shape[:2]
    maps = np.maximum(patches.reshape(count, side, side, size * size) @ (filters - filters.mean(axis=0)), 0)
    # Windows that reach over the border are cut there; after the ReLU a 0 changes no maximum.
    border = -side % pooling
    maps = np.pad(maps, ((0, 0), (0, border), (0, border), (0, 0)))
    pooled = maps.shape[1] // pooling
    features = maps.reshape(count, pooled, pooling, pooled, pooling, -1).max(axis=(2, 4)).reshape(count, -1)
    return np.hstack([features, np.ones((count, 1))])


def train(images: Images, digits: NDArray[np.int64], chosen: dict[str, int]) -> float:
    """Train on all images but the last 450, and return the share of these that are told right."""
    features = extract(images, chosen)
    known, new = features[:-TEST_IMAGES], features[-TEST_IMAGES:]
    wanted = np.eye(10)[digits[:-TEST_IMAGES]]
    weights = np.linalg.solve(known.T @ known + RIDGE * np.eye(known.shape[1]), known.T @ wanted)
    return float(np.mean((new @ weights).argmax(axis=1) == digits[-TEST_IMAGES:]))


def connect(address: str) -> socket.socket:
    """Connect to the Master, trying again until it listens.

    Raises:
        ConnectionError: it does not listen within 30 s.
    """
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + CONNECT_TIMEOUT_S
    while True:
        try:
            return socket.create_connection((host.strip("[]"), int(port)), timeout=REPLY_TIMEOUT_S)
        except OSError as error:
            if time.monotonic() >= deadline:
                raise ConnectionError(
                    f"no Master at {address} after {CONNECT_TIMEOUT_S:g} s: {error}"
                ) from error
            time.sleep(0.05)


def work(link: Any, workflow: Workflow) -> int:
    """Train with each set of hyperparameters that comes, record it and answer; return how many came."""
    images, digits = load_images()
    for number, line in enumerate(link):
        chosen = json.loads(line)
        if chosen is None:
            return number
        task = Task(number, workflow, "training", dependencies=[])
        used = Data("training_input", DATAFLOW, [], {name: [value] for name, value in chosen.items()})
        task.begin([used])
        started = time.perf_counter()
        accuracy = train(images, digits, chosen)
        obtained = {"accuracy": [accuracy], "training_time": [time.perf_counter() - started]}
        task.end([Data("training_output", DATAFLOW, [used], obtained)])
        print(json.dumps({"accuracy": accuracy}), file=link, flush=True)
    raise ConnectionError("the Master left without saying that there is no more work")


def main() -> int:
    """Work until the Master has no more; return the exit status."""
    parser = argparse.ArgumentParser(description="Train with the hyperparameters that a Master gives.")
    parser.add_argument("--master", required=True, metavar="HOST:PORT")
    options = parser.parse_args()
    workflow = Workflow(DATAFLOW)
    workflow.begin()
    try:
        with connect(options.master) as connection, connection.makefile("rw", encoding="utf-8") as link:
            trained = work(link, workflow)
    except OSError as error:
        print(f"worker.py: {error}", file=sys.stderr)
        return 1
    workflow.end()
    print(f"trained {trained} times")
    return 0


if __name__ == "__main__":
    sys.exit(main())
