"""The Master of the digits application: train a linear classifier on the features that a Worker sends.

It runs in the layer `cloud`. It waits for one Worker, trains a softmax classifier by stochastic gradient
descent, and records the accuracy on the test images after each epoch, so that a search can stop a training
that leads nowhere. At the end it writes `model.npz` and `report.json`. After each epoch it keeps what it
has trained in the directory OPTIPROV_CHECKPOINT_DIR, if there is one, and goes on from there when it is
started again.

By hand, then start worker.py in another terminal:

    python3 master.py --port 5000

Exit status: 0 when the training is done, 1 when no Worker came or what it sent is unusable, 2 for options
that cannot work.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import socket
import sys
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from provlight.data import Data
from provlight.task import Task
from provlight.workflow import Workflow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

DATAFLOW = "digits"
CLASSES = 10
BATCH_SIZE = 2
WORKER_TIMEOUT_S = 30.0
HEADER_LIMIT_BYTES = 65536
PAYLOAD_LIMIT_BYTES = 1 << 30
TRAINING_TASK = 1
CHECKPOINT = "training.npz"


class BadMessageError(ValueError):
    """What the Worker sent is not what this Master understands."""


class Features(NamedTuple):
    """What a Worker sends: its hyperparameters, the id of its data item, and the arrays.

    Features are of shape (n, num_features), digits of shape (n,).
    """

    hyperparameters: dict[str, int]
    item: str
    train_features: NDArray[np.float32]
    train_digits: NDArray[np.intp]
    test_features: NDArray[np.float32]
    test_digits: NDArray[np.intp]


class Epoch(NamedTuple):
    """What one pass over the training features led to; the time is counted from the start of the training."""

    number: int
    accuracy: float
    loss: float
    elapsed_time_s: float


def receive(server: socket.socket, timeout_s: float) -> Features:
    """Wait for one Worker and return what it sends.

    Raises:
        TimeoutError: no Worker came, or it stopped sending, for `timeout_s`.
        BadMessageError: what came is incomplete or no features.
    """
    server.settimeout(timeout_s)
    try:
        connection, _ = server.accept()
    except TimeoutError:
        raise TimeoutError(f"no Worker connected within {timeout_s:g} s. Start worker.py") from None
    with connection, connection.makefile("rb") as stream:
        connection.settimeout(timeout_s)
        try:
            header = json.loads(stream.readline(HEADER_LIMIT_BYTES))
            size = int(header["payload_bytes"])
            if not 0 < size <= PAYLOAD_LIMIT_BYTES:
                raise BadMessageError(f"a Worker announced {size} bytes of features")
            payload = stream.read(size)
            if len(payload) < size:
                raise BadMessageError(f"the Worker ended after {len(payload)} of {size} bytes of features")
            features = decode(header, payload)
        except (AttributeError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
            raise BadMessageError(f"what the Worker sent is unusable: {error}") from error
        connection.sendall(b"received\n")
    return features


def decode(header: dict[str, Any], payload: bytes) -> Features:
    """Return the features in a Worker's message, scaled so that one learning rate suits any number of them.

    The training features get mean 0 each, and their vectors a mean square norm of 1; the test's follow.
    """
    with np.load(io.BytesIO(payload), allow_pickle=False) as arrays:
        train = arrays["train_features"].astype(np.float32)
        test = arrays["test_features"].astype(np.float32)
        train_digits = arrays["train_digits"].astype(np.intp)
        test_digits = arrays["test_digits"].astype(np.intp)
    if not train.size or not test.size:
        raise BadMessageError(f"it has no features: {train.shape} to train on, {test.shape} to test")
    mean = train.mean(axis=0)
    train -= mean
    test -= mean
    norm = math.sqrt(float(np.einsum("ij,ij->", train, train)) / len(train))
    if norm > 0.0:
        train /= norm
        test /= norm
    chosen = {str(name): int(value) for name, value in header["hyperparameters"].items()}
    return Features(chosen, str(header["item"]), train, train_digits, test, test_digits)


def learning_rate_of(epoch: int, epochs: int, peak: float) -> float:
    """Return the learning rate of an epoch, counted from 1: it rises to `peak`, then falls as a cosine.

    >>> [round(learning_rate_of(epoch, 6, 0.9), 3) for epoch in range(1, 7)]
    [0.1, 0.4, 0.9, 0.768, 0.45, 0.132]
    """
    warmup = max(1, epochs // 2)
    if epoch <= warmup:
        return peak * (epoch / warmup) ** 2
    return peak * 0.5 * (1.0 + math.cos(math.pi * (epoch - warmup) / (epochs - warmup + 1)))


def row(values: dict[str, Any]) -> dict[str, list[Any]]:
    """Return the values of one data item as `Data` takes them: each attribute has a list."""
    return {name: [value] for name, value in values.items()}


class Classifier:
    """A linear softmax classifier, trained by stochastic gradient descent on batches of two images.

    Args:
        num_features: length of a feature vector.
        seed: draws the order of the images in each epoch.
    """

    def __init__(self, num_features: int, seed: int) -> None:
        self.weights: NDArray[np.float32] = np.zeros((num_features, CLASSES), dtype=np.float32)
        self.bias: NDArray[np.float32] = np.zeros(CLASSES, dtype=np.float32)
        self._rng = np.random.default_rng(seed)

    def train_epoch(
        self, features: NDArray[np.float32], digits: NDArray[np.intp], learning_rate: float
    ) -> float:
        """Pass once over the features in a new order; return the mean cross-entropy on the way."""
        weights, bias = self.weights, self.bias
        targets = np.eye(CLASSES, dtype=np.float32)[digits]
        order = self._rng.permutation(len(features))
        of_true_digit = np.empty(len(features), dtype=np.float32)
        for start in range(0, len(features), BATCH_SIZE):
            rows = order[start : start + BATCH_SIZE]
            batch, target = features[rows], targets[rows]
            scores = batch @ weights
            scores += bias
            scores -= scores.max(axis=1, keepdims=True)
            np.exp(scores, out=scores)
            scores /= scores.sum(axis=1, keepdims=True)
            of_true_digit[start : start + BATCH_SIZE] = (scores * target).sum(axis=1)
            scores -= target
            scores *= learning_rate / len(rows)
            weights -= batch.T @ scores
            bias -= scores.sum(axis=0)
        return float(-np.log(np.maximum(of_true_digit, np.float32(1e-12))).mean())

    def save(self, path: Path, epoch: Epoch, item: str) -> None:
        """Write what it takes to go on after an epoch, so that a kill leaves all of it or what was before."""
        said = {"epoch": epoch._asdict(), "item": item, "rng": self._rng.bit_generator.state}
        beside = path.with_name("new.npz")
        np.savez(beside, weights=self.weights, bias=self.bias, said=np.array(json.dumps(said)))
        beside.replace(path)

    def restore(self, path: Path) -> tuple[Epoch, str]:
        """Go on from what `save` wrote; return the last epoch, and the id of its data item."""
        with np.load(path) as saved:
            self.weights, self.bias = saved["weights"], saved["bias"]
            said = json.loads(str(saved["said"]))
        self._rng.bit_generator.state = said["rng"]
        return Epoch(**said["epoch"]), said["item"]

    def accuracy(self, features: NDArray[np.float32], digits: NDArray[np.intp]) -> float:
        """Return the share of images whose digit it tells."""
        guesses = (features @ self.weights + self.bias).argmax(axis=1)
        return float((guesses == digits).mean())


def train(
    classifier: Classifier,
    features: Features,
    epochs: int,
    peak: float,
    workflow: Workflow,
    origin: list[Data],
    checkpoint: Path | None = None,
) -> Iterator[tuple[Epoch, Data]]:
    """Train, recording each epoch as a task; yield what it led to and the data item that says so.

    Where an earlier process has left a checkpoint, the last epoch in it comes first, and is not done again.

    Args:
        classifier: what is trained.
        features: what it is trained on.
        epochs: how many passes over them.
        peak: the highest learning rate.
        workflow: the run that the tasks belong to.
        origin: the data items of the hyperparameters and of the features.
        checkpoint: where to keep what is trained after each epoch.
    """
    hyperparameters, extracted = origin
    started = time.perf_counter()
    came_from, before, done = hyperparameters, TRAINING_TASK, 0
    if checkpoint is not None and checkpoint.exists():
        epoch, item = classifier.restore(checkpoint)
        came_from, done = Data("epoch_output", DATAFLOW, [], {}, id=item), epoch.number
        started -= epoch.elapsed_time_s
        yield epoch, came_from
    for number in range(done + 1, epochs + 1):
        rate = learning_rate_of(number, epochs, peak)
        task = Task(TRAINING_TASK + number, workflow, "epoch", dependencies=[before])
        before = TRAINING_TASK + number
        inputs = Data("epoch_input", DATAFLOW, [came_from], row({"epoch": number, "learning_rate": rate}))
        task.begin([inputs, extracted])
        loss = classifier.train_epoch(features.train_features, features.train_digits, rate)
        accuracy = classifier.accuracy(features.test_features, features.test_digits)
        epoch = Epoch(number, accuracy, loss, time.perf_counter() - started)
        result = {"accuracy": accuracy, "loss": loss, "elapsed_time": epoch.elapsed_time_s}
        came_from = Data("epoch_output", DATAFLOW, [inputs], row({"epoch": number, **result}))
        task.end([came_from])
        if checkpoint is not None:
            classifier.save(checkpoint, epoch, came_from.id)
        yield epoch, came_from


def train_recorded(
    features: Features, arguments: argparse.Namespace, workflow: Workflow
) -> tuple[Classifier, Epoch]:
    """Train as the command line says, recorded as one task around those of the epochs."""
    chosen = {
        **features.hyperparameters,
        "learning_rate": arguments.learning_rate,
        "epochs": arguments.epochs,
    }
    inputs = Data("training_input", DATAFLOW, [], row(chosen))
    extracted = Data("extraction_output", DATAFLOW, [], {}, id=features.item)
    task = Task(TRAINING_TASK, workflow, "training", dependencies=[])
    task.begin([inputs, extracted])
    classifier = Classifier(features.train_features.shape[1], arguments.seed)
    kept = os.environ.get("OPTIPROV_CHECKPOINT_DIR")
    checkpoint = Path(kept) / CHECKPOINT if kept else None
    origin = [inputs, extracted]
    epochs = train(
        classifier, features, arguments.epochs, arguments.learning_rate, workflow, origin, checkpoint
    )
    for epoch, item in epochs:
        print(f"epoch {epoch.number:2d}  accuracy {epoch.accuracy:.4f}  loss {epoch.loss:.4f}", flush=True)
        last, last_item = epoch, item
    result = {"accuracy": last.accuracy, "training_time": last.elapsed_time_s, "loss": last.loss}
    task.end([Data("training_output", DATAFLOW, [last_item], row({**result, "epochs": last.number}))])
    return classifier, last


def write_results(folder: Path, classifier: Classifier, features: Features, last: Epoch) -> None:
    """Write the model and a report of what it was trained with and how good it is."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "model.npz", weights=classifier.weights, bias=classifier.bias)
    report = {
        "hyperparameters": features.hyperparameters,
        "num_features": features.train_features.shape[1],
        "num_train": len(features.train_digits),
        "num_test": len(features.test_digits),
        "accuracy": last.accuracy,
        "training_time": last.elapsed_time_s,
        "loss": last.loss,
        "epochs": last.number,
    }
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line; exit with status 2 and a message for options that cannot work."""
    parser = argparse.ArgumentParser(
        description="Train a classifier of handwritten digits on a Worker's features."
    )
    add = parser.add_argument
    add("--port", type=int, required=True, help="where to wait for the Worker (0: any free port)")
    add("--host", default="127.0.0.1", help="the address to listen on (default 127.0.0.1)")
    add("--epochs", type=int, default=12, metavar="N", help="passes over the features (default 12)")
    add("--learning-rate", type=float, default=0.6, metavar="X", help="its peak, above 0 (default 0.6)")
    add("--seed", type=int, default=0, help="draws the order of the images (default 0)")
    add(
        "--output",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="for model.npz and report.json (default: here)",
    )
    arguments = parser.parse_args(argv)
    if not 0 <= arguments.port < 65536:
        parser.error(f"--port must lie between 0 and 65535, got {arguments.port}")
    if arguments.epochs < 1:
        parser.error(f"--epochs must be at least 1, got {arguments.epochs}")
    if not 0.0 < arguments.learning_rate < math.inf:
        parser.error(f"--learning-rate must be above 0, got {arguments.learning_rate}")
    if arguments.seed < 0:
        parser.error(f"--seed must not be negative, got {arguments.seed}")
    return arguments


def main(argv: list[str] | None = None) -> int:
    """Wait, train, record and write; return the exit status."""
    arguments = parse_arguments(argv)
    workflow = Workflow(DATAFLOW)
    try:
        with socket.create_server((arguments.host, arguments.port)) as server:
            print(f"listening on {arguments.host}:{server.getsockname()[1]}", flush=True)
            workflow.begin()
            features = receive(server, WORKER_TIMEOUT_S)
    except (OSError, BadMessageError) as error:
        print(f"master.py: {error}", file=sys.stderr)
        return 1
    classifier, last = train_recorded(features, arguments, workflow)
    write_results(arguments.output, classifier, features, last)
    workflow.end()
    print(f"accuracy {last.accuracy:.4f} after {last.number} epochs in {last.elapsed_time_s:.2f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
