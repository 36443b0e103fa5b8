import time

import pytest

from optiprov.deploy import processes
from optiprov.deploy.journal import Journal
from optiprov.deploy.processes import Invocation, ProcessTable
from optiprov.deploy.supervisor import Supervisor


@pytest.fixture
def table(tmp_path):
    """A table of processes, all of which are ended in the end."""
    with Supervisor(f"processes-{time.monotonic_ns()}") as supervisor:
        made = ProcessTable(Journal(tmp_path / "journal.jsonl"), supervisor)
        yield made
        made.end_all()


@pytest.fixture
def start(table, tmp_path):
    """Starts a command on this machine; all are ended, and waited for."""
    started = []

    def invoke(command, stage="launch"):
        argv = ["sh", "-c", command]
        log = tmp_path / "log"
        environment = {"PATH": "/usr/bin:/bin"}
        started.append(table.start(Invocation(None, stage, "task", argv, None, environment, log, log)))
        return started[-1]

    yield invoke
    table.end_all()
    for process in started:
        process.wait()


@pytest.mark.parametrize("has_pidfd", [True, False])
def test_waiting_ends_with_the_process_or_the_time(table, start, monkeypatch, has_pidfd):
    """Also on a kernel that has no descriptors of processes."""
    if not has_pidfd:

        def refuse(pid):
            raise OSError(pid)

        monkeypatch.setattr(processes.os, "pidfd_open", refuse)
    long, short = start("sleep 300"), start("exit 3")
    assert not table.wait(long, 0.05)
    assert table.wait(short, 60)
    assert short.wait() == 3
    table.end(long)
    assert table.wait(long, 60)
    assert long.wait() < 0


def test_all_of_a_stage_have_ended_when_each_is_said_to_have(table, start):
    """Processes of other stages do not count, nor those that nobody has waited for yet."""
    assert table.wait_for_all("launch", 0)
    process = start("true")
    start("sleep 300", stage="prepare")
    process.wait()
    assert not table.wait_for_all("launch", 0)
    table.note_end(process)
    assert table.wait_for_all("launch", 0)


def test_processes_have_the_marks_of_their_stage(table, tmp_path):
    """By which they are found when they leave their session."""
    log = tmp_path / "env"
    invocation = Invocation(None, "finalize", "task", ["env"], None, {"OWN": "1"}, log, tmp_path / "err")
    process = table.start(invocation)
    assert process.wait() == 0
    lines = log.read_text().splitlines()
    assert {"OWN=1", "OPTIPROV_STAGE=finalize"} < set(lines)
    assert any(line.startswith("OPTIPROV_DEPLOYMENT=processes-") for line in lines)
