"""Capture on the Pythons of edge devices and newer ones: on each from 3.8 to 3.13 that this machine has.

They are looked for on the PATH, below ~/.pyenv, and in `OPTIPROV_TEST_PYTHONS`, which names interpreters as
PATH does directories. The present one always runs. What the grammar forbids is tested in test_imports.py too.
"""

import os
import shutil
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import paho.mqtt
import pytest

import optiprov
from optiprov.capture import send_leftovers
from optiprov.records import Environment, RunEnd, TaskEnd, Telemetry
from optiprov.wire import BrokerAddress
from tests.capture.test_client import spooled
from tests.conftest import ROOT

VERSIONS = range(8, 14)
PAHO_FOR_38 = Path(__file__).with_name("requirements-python38.txt")
FORKS_WITH_THREADS = "ignore:This process:DeprecationWarning"  # what 3.12 says of the fork

PROGRAM = """
import os, sys
sys.path[:0] = sys.argv[1:4]
from provlight.data import Data
from provlight.task import Task
from provlight.workflow import Workflow
from optiprov import File
wf = Workflow("old", telemetry=True)
wf.begin()
for number in range(20):
    task = Task(number, wf, "train", dependencies=[number - 1] if number else [])
    source = Data("in", "old", [], {"x": [number], "name": ["\u00e9"]})
    task.begin([source, File(sys.executable, "python")])
    task.end([Data("out", "old", [source], {"y": [number / 2]})])
try:
    with Task("fails", wf, "train"):
        raise ValueError("no")
except ValueError:
    pass
child = os.fork()
if child == 0:
    own = Workflow("old"); own.begin(); own.end()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
wf.end()
print(sys.version_info[:2])
"""


@lru_cache
def interpreters():
    """Return an interpreter of each version from 3.8 on that is here and runs; the present one always is."""
    named = os.environ.get("OPTIPROV_TEST_PYTHONS", "").split(os.pathsep)
    on_path = [shutil.which(f"python3.{minor}") for minor in VERSIONS]
    places = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found = {}
    for path in filter(None, [sys.executable, *named, *on_path, *map(str, places.glob("3.*/bin/python"))]):
        check = [path, "-c", "import sys; print(sys.version_info[1])"]
        asked = subprocess.run(check, capture_output=True, text=True, check=False)
        if (
            asked.returncode == 0 and int(asked.stdout) in VERSIONS
        ):  # pyenv's shims are there for all, and fail
            found.setdefault(int(asked.stdout), path)
    return {f"3.{minor}": path for minor, path in sorted(found.items())}


def paho_for(version):
    """Return what to put on the path of a Python for paho: that of this environment, or the last for 3.8."""
    if version != "3.8":
        return Path(paho.mqtt.__file__).parents[1]
    cache = ROOT / ".cache" / "paho"
    if not list(cache.glob("*.whl")):
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        download += ["--no-deps", "--only-binary=:all:", "--require-hashes", f"--dest={cache}"]
        done = subprocess.run([*download, f"--requirement={PAHO_FOR_38}"], check=False)
        if done.returncode:
            missing = "no paho for Python 3.8: no package index answers"
            if os.environ.get("CI"):
                pytest.fail(missing)
            pytest.skip(missing)
    return next(cache.glob("*.whl"))  # Python imports from it as it is


@pytest.fixture
def run_on(tmp_path, clean_environment):
    """Runs the program on a Python with nothing but paho installed; returns what it printed."""
    package = Path(optiprov.__file__).parent

    def run(version, **variables):
        place = paho_for(version)
        if place.name == "paho":
            (tmp_path / "site").mkdir()
            (tmp_path / "site" / "paho").symlink_to(place)
            place = tmp_path / "site"
        paths = map(str, [package / "compat", package.parent, place])
        options = ["-I", "-S", "-B", "-W", "error", "-W", FORKS_WITH_THREADS]
        done = subprocess.run(
            [interpreters()[version], *options, "-c", PROGRAM, *paths],
            env={**clean_environment, "OPTIPROV_ENVIRONMENT": "1", **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout, done.stderr

    return run


@pytest.mark.parametrize("version", interpreters())
def test_program_is_recorded_on_each_python(version, run_on, tmp_path, shared_service):
    """Tasks, telemetry, the environment, a fork: spooled, and delivered by another process."""
    printed, _ = run_on(version, OPTIPROV_SPOOL=str(tmp_path / "spool"))
    assert printed == f"({', '.join(version.split('.'))})\n"
    child, parent = sorted(spooled(tmp_path / "spool").values(), key=len)
    assert sum(isinstance(record, Environment) for record in child) == 1
    (described,) = (record for record in parent if isinstance(record, Environment))
    assert described.properties["command_line"][:3] == [interpreters()[version], "-I", "-S"]
    assert sum(isinstance(record, Telemetry) for record in parent) == 42
    assert [record.status for record in parent if isinstance(record, TaskEnd)] == ["finished"] * 20 + [
        "failed"
    ]
    assert any(isinstance(record, RunEnd) for record in parent)
    assert send_leftovers(tmp_path / "spool", BrokerAddress.parse(shared_service.mqtt)) == []


@pytest.mark.parametrize("version", interpreters())
def test_program_delivers_by_itself_on_each_python(version, run_on, tmp_path, shared_service):
    """Over paho, to the service; nothing is left in the spool, and nothing is said."""
    run_id = f"on {version} {os.urandom(4).hex()}"
    _, said = run_on(
        version,
        OPTIPROV_SPOOL=str(tmp_path / "spool"),
        OPTIPROV_BROKER=shared_service.mqtt,
        OPTIPROV_RUN_ID=run_id,
        OPTIPROV_FLUSH_TIMEOUT_S="20",
    )
    assert said == ""
    tasks = optiprov.connect(shared_service.http).tasks(run_id)
    assert tasks["status"].tolist() == ["finished"] * 20 + ["failed"]
    assert send_leftovers(tmp_path / "spool", BrokerAddress.parse(shared_service.mqtt)) == []  # of the child
