"""Telemetry of tasks: off unless asked for, a sample at their begin and end where it is."""

import datetime
import pickle

import pytest

from optiprov import connect
from optiprov.capture import Task, Workflow
from optiprov.records import RunEnd, TaskBegin, TaskEnd, Telemetry
from tests.capture.test_client import only, spooled

TWO_TASKS = """
import sys
from optiprov import Data, Task, Workflow
wf = Workflow("f")
wf.begin()
for number in (1, 2):
    task = Task(number, wf, "train")
    task.begin(Data("in", "f", [], {"x": [number]}))
    task.end(Data("out", "f", [], {"y": [number]}))
wf.end()
print([name for name in sys.modules if name.startswith(("optiprov.telemetry", "optiprov.capture.telemetry"))])
"""


def kinds(records):
    """Return the types of records, in order."""
    return [type(record) for record in records]


def test_nothing_is_sampled_or_imported_unless_asked_for(run_python, tmp_path):
    """The package is not even imported."""
    output, _ = run_python(TWO_TASKS)
    assert output == "[]\n"
    assert Telemetry not in kinds(only(spooled(tmp_path / "spool")))


def test_tasks_are_sampled_outside_of_their_time(run_python, tmp_path):
    """Before the begin and after the end, so that no task lasts longer for it; the run's count has all."""
    run_python(TWO_TASKS, OPTIPROV_TELEMETRY="1")
    records = only(spooled(tmp_path / "spool"))
    task = [Telemetry, TaskBegin, TaskEnd, Telemetry]
    assert kinds(records)[1:] == [*task, *task, RunEnd]
    first, begin, end, last = records[1:5]
    assert (first.task_id, first.transformation, first.moment, last.moment) == ("1", "train", "begin", "end")
    assert first.sampled_us <= begin.started_us <= end.ended_us <= last.sampled_us
    assert first.values.keys() == last.values.keys()
    assert last.values["process.cpu_user_s"] >= first.values["process.cpu_user_s"] > 0
    assert records[-1].record_count == len(records)


def test_keyword_goes_before_the_environment(offline, monkeypatch):
    """What is asked for by name, and nothing where it says so."""
    monkeypatch.setenv("OPTIPROV_TELEMETRY", "1")
    Task(1, Workflow("f", telemetry=False), "t").begin()
    Task(2, Workflow("f", telemetry=["memory"]), "t").begin()
    Task(3, Workflow("f", telemetry="network"), "t").begin()
    begin, memory, _, network, _ = only(spooled(offline))
    assert isinstance(begin, TaskBegin)
    assert "process.resident_bytes" in memory.values
    assert all(name.startswith("host.network") for name in network.values)


def test_unknown_resource_is_a_warning(run_python):
    """Capture never raises; the warning lists what there is."""
    output, errors = run_python(TWO_TASKS, OPTIPROV_TELEMETRY="cpu,gpu")
    assert "optiprov.capture.telemetry" in output
    assert "no telemetry is recorded: telemetry has cpu, memory, disk, network, got 'gpu'" in errors


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"host": "edge-1"},
        {"started_at": datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone.utc)},
        {"ended_at": 1704153600.0},
    ],
)
def test_what_happened_elsewhere_has_no_sample_of_here(offline, elsewhere):
    """A task that is recorded after the fact, or for another host."""
    task = Task(1, Workflow("f", telemetry=True), "t", **elsewhere)
    task.begin()
    task.end()
    assert kinds(only(spooled(offline))) == [TaskBegin, TaskEnd]


def test_failed_task_is_sampled_at_its_end(offline):
    """A `with` block that an exception leaves."""
    with pytest.raises(ZeroDivisionError), Task(1, Workflow("f", telemetry="cpu"), "t"):
        _ = 1 / 0
    assert [record.moment for record in only(spooled(offline)) if isinstance(record, Telemetry)] == [
        "begin",
        "end",
    ]


def test_workflow_with_telemetry_can_be_pickled(offline):
    """In another process, its tasks are sampled there."""
    task = pickle.loads(pickle.dumps(Task(1, Workflow("f", telemetry="memory"), "t")))  # noqa: S301
    task.begin()
    assert "process.resident_bytes" in only(spooled(offline))[0].values


def test_usage_of_a_task_can_be_asked_for(shared_service, run_python):
    """From the application to SQL: memory that a task has allocated, and CPU that it has burnt."""
    code = """
import time
from optiprov import Task, Workflow
with Workflow("usage", run_id="usage", telemetry="cpu,memory") as wf:
    held = []
    with Task("work", wf, "work"):
        held.append(b"x" * (64 << 20))
        begun = time.process_time()
        while time.process_time() - begun < 0.2:
            pass
"""
    run_python(code, OPTIPROV_BROKER=shared_service.mqtt)
    usage = connect(shared_service.http).sql(
        "SELECT u.metric, u.change FROM prov.task_usage u JOIN prov.task t ON t.task = u.task"
        " WHERE t.run_id = 'usage' AND t.task_id = 'work'"
    )
    change = dict(usage.itertuples(index=False))
    assert 60 << 20 < change["process.resident_bytes"] < 100 << 20
    assert change["process.cpu_user_s"] + change["process.cpu_system_s"] > 0.15
