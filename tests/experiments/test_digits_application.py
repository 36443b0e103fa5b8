"""The digits application as a newcomer runs it: real processes over loopback, provenance to a spool."""

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import yaml

from optiprov import connect
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]
ARTIFACTS = ROOT / "experiments" / "digits" / "artifacts"
PYTHONPATH = os.pathsep.join([str(ROOT / "optiprov" / "compat"), str(ROOT)])
SETTLED_S = PATIENCE_S


class Outcome(NamedTuple):
    """How both processes ended, and the Master's results."""

    master_status: int
    worker_status: int
    master_output: str
    report: dict


@pytest.fixture
def environment(tmp_path):
    """The environment of a process of the application: our ProvLight, a spool of its own, no broker."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {
        **kept,
        "PYTHONPATH": PYTHONPATH,
        "OPTIPROV_SPOOL": str(tmp_path / "spool"),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


@pytest.fixture
def start(environment):
    """Start one of the two services; what still runs when the test ends is killed."""
    started = []

    def start_service(script, *options):
        process = subprocess.Popen(
            [sys.executable, ARTIFACTS / script, *map(str, options)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start_service
    for process in started:
        with process:
            process.kill()


@pytest.fixture
def start_master(start):
    """Start a Master on a free port; return it and the port, once it listens."""

    def start_listening(folder, *options):
        master = start("master.py", "--port", 0, "--output", folder, *options)
        line = master.stdout.readline()
        assert line.startswith("listening on 127.0.0.1:"), line + master.stderr.read()
        return master, int(line.rpartition(":")[2])

    return start_listening


@pytest.fixture
def run(start, start_master):
    """Run both services to their end."""

    def run_both(folder, *worker_options, epochs=2):
        master, port = start_master(folder, "--epochs", epochs)
        worker = start("worker.py", "--master", f"127.0.0.1:{port}", *worker_options)
        _, worker_errors = worker.communicate(timeout=SETTLED_S)
        master_output, master_errors = master.communicate(timeout=SETTLED_S)
        assert (worker_errors, master_errors) == ("", "")
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        return Outcome(master.returncode, worker.returncode, master_output, report)

    return run_both


@pytest.fixture(scope="module")
def worker_module():
    """worker.py, imported with our ProvLight on the path."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "optiprov" / "compat")
        spec = importlib.util.spec_from_file_location("digits_worker", ARTIFACTS / "worker.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


def test_training_gets_better_with_epochs_and_reports_what_it_printed(run, tmp_path):
    """A good configuration learns over its epochs, and the report holds what was printed last."""
    chosen = ("--kernel-size", "3", "--num-kernels", "24", "--length-of-strides", "1", "--pooling-size", "2")
    outcome = run(tmp_path / "out", *chosen, epochs=6)
    assert (outcome.master_status, outcome.worker_status) == (0, 0)
    lines = outcome.master_output.splitlines()
    accuracies = [float(line.split()[3]) for line in lines if line.startswith("epoch")]
    assert len(accuracies) == 6
    assert accuracies[0] < accuracies[-1] > 0.93
    assert outcome.report["accuracy"] == pytest.approx(accuracies[-1], abs=1e-4)
    assert lines[-1].startswith(f"accuracy {accuracies[-1]:.4f} after 6 epochs in ")
    assert outcome.report["hyperparameters"] == {
        "kernel_size": 3,
        "num_kernels": 24,
        "length_of_strides": 1,
        "pooling_size": 2,
    }
    assert (outcome.report["num_features"], outcome.report["num_test"]) == (3 * 3 * 24, 450)
    assert outcome.report["training_time"] > 0
    with np.load(tmp_path / "out" / "model.npz") as model:
        assert model["weights"].shape == (3 * 3 * 24, 10)


def test_same_seed_gives_same_accuracy_and_model(run, tmp_path):
    """Two runs of one configuration and seed agree to the last bit."""
    chosen = ("--kernel-size", "4", "--num-kernels", "6", "--length-of-strides", "2")
    first, second = (run(tmp_path / name, *chosen) for name in ("first", "second"))
    assert first.report["accuracy"] == second.report["accuracy"]
    assert first.report["loss"] == second.report["loss"]
    with (
        np.load(tmp_path / "first" / "model.npz") as one,
        np.load(tmp_path / "second" / "model.npz") as other,
    ):
        np.testing.assert_array_equal(one["weights"], other["weights"])


def test_killed_training_goes_on_from_its_checkpoint(run, start, start_master, environment, tmp_path):
    """It comes to the same as one that was never cut off, and does no epoch twice but the one it died in."""
    chosen = ("--kernel-size", "3", "--num-kernels", "24")
    whole = run(tmp_path / "whole", *chosen, epochs=8)
    environment["OPTIPROV_CHECKPOINT_DIR"] = str(tmp_path)
    master, port = start_master(tmp_path / "killed", "--epochs", 8)
    start("worker.py", "--master", f"127.0.0.1:{port}", *chosen)
    while not master.stdout.readline().startswith("epoch  2"):
        assert master.poll() is None
    master.kill()
    master.wait()
    resumed = run(tmp_path / "resumed", *chosen, epochs=8)
    for name in ("accuracy", "loss", "epochs"):
        assert resumed.report[name] == whole.report[name]
    with (
        np.load(tmp_path / "whole" / "model.npz") as one,
        np.load(tmp_path / "resumed" / "model.npz") as other,
    ):
        np.testing.assert_array_equal(one["weights"], other["weights"])
    epochs = [line for line in resumed.master_output.splitlines() if line.startswith("epoch")]
    assert int(epochs[0].split()[1]) >= 2
    assert epochs[-1].split()[1] == "8"


def test_run_leaves_provenance_of_both_services_in_the_spool(run, tmp_path):
    """Both processes spool their datasets, and the Master names the Worker's data item."""
    run(tmp_path / "out", "--num-kernels", "4")
    spooled = [
        b"".join(f.read_bytes() for f in d.rglob("*") if f.is_file()) for d in (tmp_path / "spool").iterdir()
    ]
    assert len(spooled) == 2
    (worker,) = (data for data in spooled if b"extraction_input" in data)
    (master,) = (data for data in spooled if b"extraction_input" not in data)
    for dataset in (
        b"training_input",
        b"extraction_output",
        b"epoch_input",
        b"epoch_output",
        b"training_output",
    ):
        assert dataset in master
    assert b"extraction_time" in worker
    assert b"extraction_time" not in master


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--kernel-size", "9"), "kernel_size 9 leaves no features. Choose 2 to 8"),
        (("--kernel-size", "1"), "kernel_size 1 leaves no features"),
        (("--num-kernels", "0"), "--num-kernels: expected a whole number of at least 1, got '0'"),
        (("--pooling-size", "-1"), "--pooling-size: expected a whole number of at least 1, got '-1'"),
        (
            ("--length-of-strides", "1.5"),
            "--length-of-strides: expected a whole number of at least 1, got '1.5'",
        ),
        (("--master", "nowhere"), "expected HOST:PORT"),
    ],
)
def test_worker_rejects_hyperparameters_that_make_no_features(start, options, message):
    """A value that cannot work ends the Worker at once, with status 2 and what to choose instead."""
    worker = start("worker.py", "--master", "127.0.0.1:9", *options)
    _, errors = worker.communicate(timeout=SETTLED_S)
    assert worker.returncode == 2
    assert message in errors
    assert "Traceback" not in errors


def test_master_rejects_what_is_no_message_of_a_worker(start_master, tmp_path):
    """Bytes that are no features end the Master with status 1 and a message, without a traceback."""
    master, port = start_master(tmp_path)
    with socket.create_connection(("127.0.0.1", port), timeout=SETTLED_S) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
    _, errors = master.communicate(timeout=SETTLED_S)
    assert master.returncode == 1
    assert errors.startswith("master.py: what the Worker sent is unusable:")
    assert not (tmp_path / "report.json").exists()


def test_master_reports_a_worker_that_ends_too_early(start_master, tmp_path):
    """A connection that breaks amid the features is named with how much had come."""
    master, port = start_master(tmp_path)
    with socket.create_connection(("127.0.0.1", port), timeout=SETTLED_S) as connection:
        connection.sendall(b'{"payload_bytes": 100}\nabc')
    _, errors = master.communicate(timeout=SETTLED_S)
    assert master.returncode == 1
    assert "the Worker ended after 3 of 100 bytes of features" in errors


def test_master_on_a_port_in_use_says_so(start, tmp_path):
    """A second Master on the port of the first ends with status 1."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        master = start("master.py", "--port", port, "--output", tmp_path)
        _, errors = master.communicate(timeout=SETTLED_S)
    assert master.returncode == 1
    assert "in use" in errors


def test_sigterm_ends_the_master(start_master, tmp_path):
    """A Master that waits ends by the signal that a stopped trial gets."""
    master, _ = start_master(tmp_path)
    master.terminate()
    master.communicate(timeout=SETTLED_S)
    assert master.returncode == -signal.SIGTERM


def test_worker_without_master_gives_up_with_a_message(worker_module):
    """A Worker that finds no Master says where it looked and how to start one."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(ConnectionError, match=f"no Master at 127.0.0.1:{port} after 0.2 s"):
        worker_module.connect(("127.0.0.1", port), 0.2)


def test_images_are_scikit_learns_without_importing_it():
    """The Worker reads the 1,797 images from the package's file: importing the package takes a second."""
    code = (
        "import sys, worker; images = worker.load_images(); "
        "print(images.pixels.shape, images.pixels.max(), images.digits[:3], 'sklearn' in sys.modules)"
    )
    path = os.pathsep.join([str(ARTIFACTS), PYTHONPATH])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "(1797, 8, 8) 1.0 [0 1 2] False"


def test_split_keeps_a_quarter_of_each_digit_for_the_test(worker_module):
    """No image is in both parts, each digit has its share, and another seed draws others."""
    images = worker_module.load_images()
    train, test = worker_module.split(images, 0)
    assert len(train.digits) + len(test.digits) == len(images.digits) == 1797
    shares = np.bincount(test.digits) / np.bincount(images.digits)
    np.testing.assert_allclose(shares, 0.25, atol=0.005)
    assert not np.array_equal(test.pixels, worker_module.split(images, 1)[1].pixels)


def test_extract_agrees_with_a_convolution_written_out(worker_module):
    """The features are those of plain loops over positions, filters and pooling windows."""
    chosen = worker_module.Hyperparameters(kernel_size=3, num_kernels=2, length_of_strides=2, pooling_size=2)
    pixels = np.random.default_rng(0).random((2, 8, 8), dtype=np.float32)
    filters = worker_module.random_filters(3, 2, seed=1)
    maps = np.zeros((2, 3, 3, 2))
    for image, row, column, kernel in np.ndindex(maps.shape):
        patch = pixels[image, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3].ravel()
        maps[image, row, column, kernel] = max(0.0, float(patch @ filters[kernel]))
    expected = [
        maps[image, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2, kernel].max()
        for image, row, column, kernel in np.ndindex(2, 2, 2, 2)
    ]
    features = worker_module.extract(pixels, filters, chosen)
    np.testing.assert_allclose(features, np.reshape(expected, (2, 8)), atol=2e-3)


def test_every_corner_of_the_search_space_makes_features(worker_module):
    """The box of search_spaces/digits.yaml holds no configuration that the Worker could not run."""
    space = yaml.safe_load((ROOT / "search_spaces" / "digits.yaml").read_text(encoding="utf-8"))["parameters"]
    assert tuple(space) == worker_module.Hyperparameters._fields
    ranges = [range(space[name]["low"], space[name]["high"] + 1) for name in space if name != "num_kernels"]
    pixels = worker_module.load_images().pixels[:2]
    for size in ranges[0]:
        for stride in ranges[1]:
            for pooling in ranges[2]:
                chosen = worker_module.Hyperparameters(size, 2, stride, pooling)
                features = worker_module.extract(pixels, worker_module.random_filters(size, 2, 0), chosen)
                assert features.shape[1] >= 2
                assert np.isfinite(features).all()


@pytest.fixture
def service(tmp_path):
    """A running provenance service on free ports; its addresses, and the store it owns."""
    store = tmp_path / "provenance.duckdb"
    command = [sys.executable, "-m", "optiprov.cli", "serve", "--store", str(store)]
    with subprocess.Popen(
        [*command, "--mqtt-port", "0", "--http-port", "0"], stdout=subprocess.PIPE
    ) as process:
        yield {**json.loads(process.stdout.readline()), "path": store}
        process.terminate()
        assert process.wait(SETTLED_S) == 0


def test_run_by_hand_is_recorded_by_a_running_service(run, tmp_path, environment, service):
    """Without an optimization, PROVLIGHT_SERVER_URL alone makes both runs arrive in the service's store."""
    environment["PROVLIGHT_SERVER_URL"] = service["mqtt"].removeprefix("mqtt://")
    chosen = ("--kernel-size", "3", "--num-kernels", "8", "--length-of-strides", "1", "--pooling-size", "2")
    outcome = run(tmp_path / "out", *chosen)
    provenance = connect(service["path"])
    assert provenance.runs()["status"].tolist() == ["finished", "finished"]
    stored = provenance.query(
        ["used.num_kernels", "generated.accuracy"], {"transformation": "training", "used.kernel_size": 3}
    )
    assert stored.to_dict("records") == [
        {"used.num_kernels": 8, "generated.accuracy": outcome.report["accuracy"]}
    ]
    assert list((tmp_path / "spool").iterdir()) == []
