"""The client in a zip does its work on Pythons that have nothing of ours installed."""

import os
import subprocess
import zipfile

import pytest

from optiprov import connect
from optiprov.capture import send_leftovers, spool_heads
from optiprov.deploy.client_archive import ARCHIVE_NAME, write_client_archive
from optiprov.deploy.providers.local import LocalHost
from optiprov.wire import BrokerAddress
from tests.capture.test_old_python import interpreters, paho_for

PROGRAM = """
import sys
from provlight.data import Data
from provlight.task import Task
from provlight.workflow import Workflow
import optiprov
assert "client.zip" in optiprov.__file__, optiprov.__file__
workflow = Workflow("zipped", telemetry=True)
workflow.begin()
with Task(1, workflow, "train") as task:
    task.end([Data("out", "zipped", [], {"python": [sys.version_info[1]]})])
workflow.end()
"""


# Registries of packages have none: `uv python install` loads it from elsewhere.
needs_38 = pytest.mark.skipif(
    "3.8" not in interpreters(),
    reason="no Python 3.8 is here, nor in a registry of packages; name one in OPTIPROV_TEST_PYTHONS",
)
CASES = [(version, True) for version in interpreters() if version != "3.8"]
CASES += [pytest.param("3.8", True, marks=needs_38), pytest.param("3.8", False, marks=needs_38)]


@pytest.mark.parametrize(("version", "has_paho"), CASES)
def test_application_records_with_the_zip_alone(
    version, has_paho, tmp_path, clean_environment, shared_service
):
    """Nothing else of ours is there. With paho beside it, it sends; without, its spool is sent later."""
    python = interpreters()[version]
    spool, broker = tmp_path / "spool", shared_service.mqtt
    path = [write_client_archive(tmp_path / "client.zip")]
    if has_paho:
        path.append(_place_of_paho(version, tmp_path / "site"))
    environment = {
        **clean_environment,
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        "OPTIPROV_BROKER": broker,
        "OPTIPROV_FLUSH_TIMEOUT_S": "20",
        "OPTIPROV_SPOOL": str(spool),
        "OPTIPROV_CAMPAIGN": str(tmp_path),
    }
    command = [python, "-S", "-s", "-W", "error", "-c", PROGRAM]
    options = {"env": environment, "cwd": tmp_path, "capture_output": True, "text": True}
    done = subprocess.run(command, check=False, **options)
    assert done.returncode == 0, done.stderr
    assert bool(spool_heads(spool)) != has_paho
    assert send_leftovers(spool, BrokerAddress.parse(broker)) == []
    query = 'SELECT python FROM zipped."out" WHERE run_id IN (SELECT run_id FROM prov.run WHERE campaign = ?)'
    assert len(connect(shared_service.http).sql(query, (str(tmp_path),))) == 1


def _place_of_paho(version, site):
    """Where a Python finds paho, and nothing else."""
    place = paho_for(version)
    if place.suffix == ".whl":
        return place
    site.mkdir()
    (site / "paho").symlink_to(place)
    return site


def test_archive_is_the_same_each_time_and_small(tmp_path):
    """Two archives of one client are equal, and an edge device has room for them."""
    first, second = (write_client_archive(tmp_path / name) for name in ("a.zip", "b.zip"))
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size < 120_000
    assert not any("__pycache__" in name for name in zipfile.ZipFile(first).namelist())


def test_hosts_that_record_and_have_no_client_are_given_it(deploy, monkeypatch):
    """With the role provenance only; their applications import it from the host's own copy."""
    monkeypatch.setattr(LocalHost, "has_client", False)
    layers = (
        "environment: {local: }\nlayers:\n- {name: cloud, services: [{name: M}]}\n"
        "- {name: edge, services: [{name: W, roles: [provenance]}]}\n"
    )
    code = "import provlight.task as t; print(t.__file__)"
    deployment = deploy(
        f"- hosts: all\n  launch:\n    - command: {{argv: [python3, -c, '{code}']}}\n", layers
    )
    deployment.prepare()
    deployment.launch()
    outputs = [path.read_text() for path in sorted((deployment.directory / "logs").glob("*/*.out"))]
    assert [ARCHIVE_NAME in output for output in outputs] == [False, True]
