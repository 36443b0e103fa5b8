"""Fixtures for all tests: processes of ours, each with an environment of its own."""

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parents[1]
START_TIMEOUT_S = 60


class RunningService:
    """A provenance service in a process of its own.

    Args:
        store: the path of a DuckDB file, or the URL of a store.
        options: of the command.
        mqtt_port: of the broker, where it is the service's own.
        http_port: of HTTP.
        wrapper: what starts the command.
        log: where it logs; by default beside the file.
        program: what Python runs in place of the command.
    """

    def __init__(
        self,
        store,
        *options,
        mqtt_port=0,
        http_port=0,
        wrapper=(),
        log=None,
        program=("-m", "optiprov.cli"),
    ):
        self.store = store if "://" in str(store) else Path(store)
        url = store if "://" in str(store) else f"duckdb://{store}"
        command = [*wrapper, sys.executable, *program, "serve", "--store", url]
        command += ["--mqtt-port", str(mqtt_port), "--http-port", str(http_port), *options]
        self.log = log or self.store.with_suffix(".log")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        ready, _, _ = select.select([self.process.stdout], [], [], START_TIMEOUT_S)
        line = self.process.stdout.readline() if ready else ""
        if not line:
            self.kill()
            pytest.fail(f"the service does not start: {self.log.read_text()}")
        self.addresses = json.loads(line)
        self.http, self.mqtt = self.addresses["http"], self.addresses["mqtt"]
        self.http_port, self.mqtt_port = (urlsplit(url).port for url in (self.http, self.mqtt))

    def stop(self, timeout_s=10):
        """End it by SIGTERM and return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self._reap(timeout_s)

    def kill(self):
        """End it by SIGKILL."""
        self.process.kill()
        return self._reap(10)

    def _reap(self, timeout_s):
        with self.process:
            return self.process.wait(timeout_s)


@pytest.fixture
def start_service(tmp_path):
    """Starts services, which are killed at the end where they still run."""
    started = []

    def start(*options, store=None, **ports):
        started.append(RunningService(store or tmp_path / "store" / "p.duckdb", *options, **ports))
        return started[-1]

    (tmp_path / "store").mkdir()
    yield start
    for service in started:
        service.kill()


@pytest.fixture
def clean_environment():
    """The environment without anything that optiprov reads.

    But for OPTIPROV_ENVIRONMENT=0: most tests count records, and that of the environment comes when it does.
    """
    ours = ("OPTIPROV_", "PROVLIGHT_")
    others = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**others, "OPTIPROV_ENVIRONMENT": "0"}


@pytest.fixture
def start_python(tmp_path, clean_environment):
    """Starts Python programs, with the spool in tmp_path/spool; killed at the end where they still run."""
    started = []

    def start(code, *arguments, path=(), **environment):
        variables = {"OPTIPROV_SPOOL": str(tmp_path / "spool"), "PYTHONPATH": os.pathsep.join(map(str, path))}
        process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**clean_environment, **variables, **environment},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def run_python(start_python):
    """Runs a Python program to its end and returns what it printed; it must exit with the given status."""

    def run(code, *arguments, status=0, timeout_s=30, **options):
        process = start_python(code, *arguments, **options)
        output, errors = process.communicate(timeout=timeout_s)
        assert process.returncode == status, errors
        return output, errors

    return run


@pytest.fixture(scope="module")
def shared_service(tmp_path_factory):
    """A service for the tests of a module that leave it as it is: starting one takes two seconds."""
    service = RunningService(tmp_path_factory.mktemp("shared") / "p.duckdb")
    yield service
    service.kill()
