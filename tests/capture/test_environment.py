"""The environment is captured once a process, beside the application, however the process goes on."""

import os
import signal

import pytest

from optiprov import connect
from optiprov.records import Environment, RunBegin, RunEnd
from tests.capture.test_client import only, spooled
from tests.waiting import PATIENCE_S

ON = {"OPTIPROV_ENVIRONMENT": ""}


def environments(records):
    """Return the environments among records."""
    return [record for record in records if isinstance(record, Environment)]


def test_shortest_program_records_its_environment_once(run_python, tmp_path):
    """Two runs that begin and end at once; no broker."""
    code = """
from optiprov import Workflow
for _ in range(2):
    wf = Workflow("f"); wf.begin(); wf.end()
"""
    run_python(code, "--token", "s3cr3t", **ON)
    records = only(spooled(tmp_path / "spool"))
    (environment,) = environments(records)
    assert environment.properties["command_line"][-2:] == ["--token", "***"]
    assert environment.packages["paho-mqtt"]
    assert len(records) == 5
    assert {record.record_count for record in records if isinstance(record, RunEnd)} == {2}


def test_program_that_ends_without_ending_its_run_records_it(run_python, tmp_path):
    """At the exit, it is waited for."""
    run_python("from optiprov import Workflow; Workflow('f').begin()", **ON)
    assert len(environments(only(spooled(tmp_path / "spool")))) == 1


def test_nothing_is_captured_where_it_is_turned_off(run_python, tmp_path):
    """OPTIPROV_ENVIRONMENT=0; nor is anything imported for it."""
    code = """
import sys
from optiprov import Workflow
wf = Workflow("f"); wf.begin(); wf.end()
print([name for name in sys.modules if name.startswith("optiprov.telemetry") or name == "subprocess"])
"""
    output, _ = run_python(code, OPTIPROV_ENVIRONMENT="0")
    assert output == "[]\n"
    assert environments(only(spooled(tmp_path / "spool"))) == []


def test_forked_children_record_their_own(run_python, tmp_path):
    """A child that begins a run is a process of its own, whenever it was forked."""
    code = """
import os
from optiprov import Workflow
wf = Workflow("f"); wf.begin()
children = []
for number in range(5):
    child = os.fork()
    if child == 0:
        own = Workflow("child"); own.begin(); own.end()
        os._exit(0)
    children.append(child)
for child in children:
    assert os.waitpid(child, 0)[1] == 0
wf.end()
"""
    run_python(code, PROVLIGHT_SERVER_URL="127.0.0.1:9", **ON)
    found = spooled(tmp_path / "spool")
    assert len(found) == 6
    assert all(len(environments(records)) == 1 for records in found.values())


def test_hanging_repository_does_not_hold_up_the_program(run_python, tmp_path):
    """`wf.end()` waits up to the deadline of the flush and goes on, though a file cannot be read."""
    (tmp_path / "code" / ".git").mkdir(parents=True)
    os.mkfifo(tmp_path / "code" / ".git" / "HEAD")
    code = """
import os, sys, threading
os.chdir(sys.argv[1])
from optiprov import Workflow
wf = Workflow("f"); wf.begin(); wf.end()
print([thread.name for thread in threading.enumerate() if "environment" in thread.name])
"""
    output, _ = run_python(code, tmp_path / "code", OPTIPROV_FLUSH_TIMEOUT_S="0.1", **ON)
    assert output == "['optiprov-environment']\n"
    assert set(map(type, only(spooled(tmp_path / "spool")))) == {RunBegin, RunEnd}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_death_of_the_process_costs_no_other_record(start_python, tmp_path, number):
    """Whether the environment was there in time or not, what came before it is."""
    code = "from optiprov import Workflow; Workflow('f').begin(); print('on', flush=True); input()"
    process = start_python(code, **ON)
    process.stdout.readline()
    process.send_signal(number)
    assert process.wait(PATIENCE_S) == -number
    assert isinstance(only(spooled(tmp_path / "spool"))[0], RunBegin)


def test_environment_of_a_run_can_be_asked_for(shared_service, run_python):
    """From the application to `environment(run)`, its packages and its variables, by SQL."""
    code = "from optiprov import Workflow\nwith Workflow('f', run_id='asked'): pass"
    run_python(code, OPTIPROV_BROKER=shared_service.mqtt, OMP_NUM_THREADS="3", **ON)
    store = connect(shared_service.http)
    (row,) = store.environment("asked").to_dict("records")
    assert row["host"] == os.uname().nodename
    assert row["python"].startswith("cpython 3.")
    assert "Workflow('f', run_id='asked')" in row["command_line"]
    of_run = (
        "FROM prov.run_environment r JOIN prov.{} x ON x.client_id = r.client_id WHERE r.run_id = 'asked'"
    )
    packages = store.sql("SELECT x.package, x.version " + of_run.format("environment_package"))
    assert packages.set_index("package")["version"]["paho-mqtt"]
    variables = store.sql("SELECT x.variable, x.value " + of_run.format("environment_variable"))
    assert dict(variables.itertuples(index=False))["OMP_NUM_THREADS"] == "3"
