"""Capture on the Pythons of edge devices: real ones, where this machine has them.

`OPTIPROV_TEST_PYTHONS` names interpreters, as PATH does directories; python3.8 and python3.9 are looked for
on the PATH. What the grammar forbids is tested in test_imports.py everywhere.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import optiprov
from optiprov.capture import send_leftovers
from optiprov.records import Environment, RunEnd, TaskEnd, Telemetry
from optiprov.wire import BrokerAddress
from tests.capture.test_client import spooled

PROGRAM = """
import os, sys
sys.path[:0] = sys.argv[1:3]
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


def old_pythons():
    """Return the interpreters below 3.10 that there are and that run."""
    named = os.environ.get("OPTIPROV_TEST_PYTHONS", "").split(os.pathsep)
    found = [*filter(None, named), *filter(None, map(shutil.which, ("python3.8", "python3.9")))]
    check = "import sys; sys.exit(sys.version_info >= (3, 10))"
    return [
        path
        for path in found
        if subprocess.run([path, "-c", check], check=False, capture_output=True).returncode == 0
    ]


@pytest.mark.parametrize("python", old_pythons() or [None])
def test_program_on_an_old_python_is_recorded(python, tmp_path, clean_environment, shared_service):
    """With nothing installed; tasks, telemetry, the environment, a fork; another process delivers it."""
    if python is None:
        pytest.skip("no Python below 3.10 here; name some in OPTIPROV_TEST_PYTHONS")
    package = Path(optiprov.__file__).parent
    environment = {
        **clean_environment,
        "OPTIPROV_SPOOL": str(tmp_path / "spool"),
        "OPTIPROV_ENVIRONMENT": "1",
    }
    command = [python, "-I", "-W", "error", "-c", PROGRAM, str(package / "compat"), str(package.parent)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("(3, ")
    child, parent = sorted(spooled(tmp_path / "spool").values(), key=len)
    assert sum(isinstance(record, Environment) for record in child) == 1
    (described,) = (record for record in parent if isinstance(record, Environment))
    assert described.properties["command_line"][:3] == [python, "-I", "-W"]
    assert sum(isinstance(record, Telemetry) for record in parent) == 42
    assert [record.status for record in parent if isinstance(record, TaskEnd)] == ["finished"] * 20 + [
        "failed"
    ]
    assert any(isinstance(record, RunEnd) for record in parent)
    assert send_leftovers(tmp_path / "spool", BrokerAddress.parse(shared_service.mqtt)) == []
