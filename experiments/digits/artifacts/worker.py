"""The Worker of the digits application: turn images of handwritten digits into features for the Master.

It runs in the layer `edge`, beside the images. A bank of random filters slides over each image (convolution),
negative responses are cut (ReLU), the largest response of each window is kept (max pooling), and what is left
goes over TCP to the Master, which trains on it. The images never leave the Worker.

By hand, beside a master.py that listens on port 5000:

    python3 worker.py --master 127.0.0.1:5000 --kernel-size 3 --num-kernels 32

Exit status: 0 when the Master has the features, 1 when they could not be delivered, 2 for hyperparameters or
options that cannot work.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import json
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from provlight.data import Data
from provlight.task import Task
from provlight.workflow import Workflow

if TYPE_CHECKING:
    from numpy.typing import NDArray

DATAFLOW = "digits"
IMAGE_SIDE = 8
BRIGHTEST = 16.0
CLASSES = 10
TEST_SHARE = 0.25
SHIFTS = [(down, right) for down in (0, 1, -1) for right in (0, 1, -1)]
CONNECT_TIMEOUT_S = 20.0
REPLY_TIMEOUT_S = 60.0


class Hyperparameters(NamedTuple):
    """What the search may choose; lengths are in pixels of an image or cells of a feature map."""

    kernel_size: int
    num_kernels: int
    length_of_strides: int
    pooling_size: int


class Images(NamedTuple):
    """Grey images of shape (n, 8, 8) between 0 and 1, and the digit that each shows, of shape (n,)."""

    pixels: NDArray[np.float32]
    digits: NDArray[np.uint8]


def load_images() -> Images:
    """Return the 1,797 images that come with scikit-learn.

    They are read from the package's file where it lies at its usual place: importing scikit-learn costs about
    a second of CPU, a third of what a trial takes.
    """
    spec = importlib.util.find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("the images come with scikit-learn: pip install scikit-learn")
    path = Path(spec.submodule_search_locations[0], "datasets", "data", "digits.csv.gz")
    if path.is_file():
        rows = np.loadtxt(path, delimiter=",", dtype=np.float32)
        pixels, digits = rows[:, :-1], rows[:, -1]
    else:
        from sklearn.datasets import load_digits

        pixels, digits = load_digits(return_X_y=True)
    scaled = (pixels / BRIGHTEST).astype(np.float32)
    return Images(scaled.reshape(-1, IMAGE_SIDE, IMAGE_SIDE), digits.astype(np.uint8))


def split(images: Images, seed: int) -> tuple[Images, Images]:
    """Return the training and the test images; `seed` draws a quarter of each digit's images for the test."""
    rng = np.random.default_rng(seed)
    in_test = np.zeros(len(images.digits), dtype=bool)
    for digit in range(CLASSES):
        members = rng.permutation(np.flatnonzero(images.digits == digit))
        in_test[members[: round(len(members) * TEST_SHARE)]] = True
    train = Images(images.pixels[~in_test], images.digits[~in_test])
    return train, Images(images.pixels[in_test], images.digits[in_test])


def random_filters(size: int, count: int, seed: int) -> NDArray[np.float32]:
    """Return Gaussian filters of shape (count, size * size), each with mean 0 and norm 1.

    For one size and seed, the filters of a smaller count are the first ones of a larger count.
    """
    filters = np.random.default_rng(seed).standard_normal((count, size * size)).astype(np.float32)
    filters -= filters.mean(axis=1, keepdims=True)
    filters /= np.linalg.norm(filters, axis=1, keepdims=True)
    return filters


def shifted(pixels: NDArray[np.float32], down: int, right: int) -> NDArray[np.float32]:
    """Return the images moved by at most one pixel each way, black where they moved away from."""
    padded = np.pad(pixels, ((0, 0), (1, 1), (1, 1)))
    rows, columns = 1 - down, 1 - right
    return padded[:, rows : rows + IMAGE_SIDE, columns : columns + IMAGE_SIDE]


def extract(
    pixels: NDArray[np.float32], filters: NDArray[np.float32], chosen: Hyperparameters
) -> NDArray[np.float16]:
    """Return the features of images of shape (n, 8, 8), flat, of shape (n, num_features).

    Half precision is enough for the Master and halves what crosses the network. Windows of the pooling that
    reach over the border are cut there, so a pooling as large as the map leaves one feature a filter.
    """
    size, stride, pooling = chosen.kernel_size, chosen.length_of_strides, chosen.pooling_size
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (size, size), axis=(1, 2))
    patches = windows[:, ::stride, ::stride]
    count, side = patches.shape[:2]
    maps: NDArray[np.float32] = np.maximum(patches.reshape(count, side, side, size * size) @ filters.T, 0.0)
    if pooling > 1:
        border = -side % pooling
        # After the ReLU no response is below 0, so that cells of 0 beyond the border change no maximum.
        maps = np.pad(maps, ((0, 0), (0, border), (0, border), (0, 0)))
        pooled = maps.shape[1] // pooling
        maps = maps.reshape(count, pooled, pooling, pooled, pooling, -1).max(axis=(2, 4))
    features: NDArray[np.float16] = maps.reshape(count, -1).astype(np.float16)
    return features


def features_message(
    train: Images, test: Images, chosen: Hyperparameters, seed: int
) -> dict[str, NDArray[np.float16] | NDArray[np.uint8]]:
    """Return the arrays for the Master.

    The training images are in them nine times, as they are and moved by a pixel in each of eight directions:
    a classifier that has seen a digit off its place tells it better.
    """
    filters = random_filters(chosen.kernel_size, chosen.num_kernels, seed)
    moved = [extract(shifted(train.pixels, *shift), filters, chosen) for shift in SHIFTS]
    return {
        "train_features": np.concatenate(moved),
        "train_digits": np.tile(train.digits, len(SHIFTS)),
        "test_features": extract(test.pixels, filters, chosen),
        "test_digits": test.digits,
    }


def connect(master: tuple[str, int], timeout_s: float) -> socket.socket:
    """Connect to the Master, trying again until it listens.

    Raises:
        ConnectionError: it did not listen within `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return socket.create_connection(master, timeout=timeout_s)
        except OSError as error:  # each try is a connection of its own
            if time.monotonic() >= deadline:
                raise ConnectionError(
                    f"no Master at {master[0]}:{master[1]} after {timeout_s:g} s ({error}). "
                    f"Start it first: python3 master.py --port {master[1]}"
                ) from error
            time.sleep(0.05)


def send(
    connection: socket.socket,
    chosen: Hyperparameters,
    item: str,
    arrays: dict[str, NDArray[np.float16] | NDArray[np.uint8]],
) -> int:
    """Send a line of JSON, then the arrays as an .npz file; return that file's size in bytes.

    It returns when the Master has said that everything arrived.

    Raises:
        ConnectionError: the Master ended before it had everything.
    """
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    payload = buffer.getbuffer()
    header = {"hyperparameters": chosen._asdict(), "item": item, "payload_bytes": len(payload)}
    connection.settimeout(REPLY_TIMEOUT_S)
    connection.sendall(json.dumps(header).encode() + b"\n")
    connection.sendall(payload)
    if connection.recv(16) != b"received\n":
        raise ConnectionError("the Master ended before it had all features; see its messages")
    return len(payload)


def endpoint(text: str) -> tuple[str, int]:
    """Parse `host:port`."""
    host, separator, port = text.rpartition(":")
    if not separator or not port.isdecimal() or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError(f"expected HOST:PORT, such as 127.0.0.1:5000, got {text!r}")
    return host.strip("[]"), int(port)


def positive(text: str) -> int:
    """Parse a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line; exit with status 2 and a message for hyperparameters that make no features."""
    parser = argparse.ArgumentParser(
        description="Extract features of handwritten digits and send them to the Master."
    )
    add = parser.add_argument
    add("--master", type=endpoint, required=True, metavar="HOST:PORT", help="where master.py listens")
    add("--kernel-size", type=positive, default=3, metavar="PX", help="side of a filter, 2 to 8 (default 3)")
    add("--num-kernels", type=positive, default=32, metavar="N", help="number of filters (default 32)")
    add("--length-of-strides", type=positive, default=1, metavar="PX", help="step of the filters (default 1)")
    add("--pooling-size", type=positive, default=2, metavar="N", help="side of a pooling window (default 2)")
    add("--seed", type=int, default=0, help="draws the filters and splits the images (default 0)")
    arguments = parser.parse_args(argv)
    if not 2 <= arguments.kernel_size <= IMAGE_SIDE:
        parser.error(
            f"kernel_size {arguments.kernel_size} leaves no features. Choose 2 to {IMAGE_SIDE}: "
            f"a filter of mean 0 needs 2 pixels a side, and the images have {IMAGE_SIDE}x{IMAGE_SIDE}"
        )
    if arguments.seed < 0:
        parser.error(f"--seed must not be negative, got {arguments.seed}")
    return arguments


def main(argv: list[str] | None = None) -> int:
    """Extract, record and deliver; return the exit status."""
    arguments = parse_arguments(argv)
    chosen = Hyperparameters(
        arguments.kernel_size, arguments.num_kernels, arguments.length_of_strides, arguments.pooling_size
    )
    workflow = Workflow(DATAFLOW)
    workflow.begin()
    task = Task(1, workflow, "extraction", dependencies=[])
    inputs = Data(
        "extraction_input", DATAFLOW, [], {name: [value] for name, value in chosen._asdict().items()}
    )
    task.begin([inputs])

    started = time.perf_counter()
    train, test = split(load_images(), arguments.seed)
    arrays = features_message(train, test, chosen, arguments.seed)
    extraction_time_s = time.perf_counter() - started

    num_features = arrays["train_features"].shape[1]
    outputs = Data(
        "extraction_output",
        DATAFLOW,
        [inputs],
        {
            "num_features": [num_features],
            "num_train": [len(arrays["train_digits"])],
            "num_test": [len(arrays["test_digits"])],
            "extraction_time": [extraction_time_s],
        },
    )
    task.end([outputs])
    try:
        with connect(arguments.master, CONNECT_TIMEOUT_S) as connection:
            sent_bytes = send(connection, chosen, outputs.id, arrays)
    except OSError as error:
        print(f"worker.py: {error}", file=sys.stderr)
        return 1
    workflow.end()
    print(f"{num_features} features in {extraction_time_s:.2f} s, {sent_bytes / 1e6:.1f} MB sent")
    return 0


if __name__ == "__main__":
    sys.exit(main())
