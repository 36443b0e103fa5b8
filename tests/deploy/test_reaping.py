import json
import os
import signal
import subprocess
import sys

import pytest

from optiprov.deploy import reap_abandoned
from optiprov.deploy.journal import boot_id, read_journal
from optiprov.deploy.watchdog import end_processes, find_processes
from tests.waiting import wait_until

OWNER = """
import sys, time
from pathlib import Path
from optiprov.deploy import Deployment, load_scenario
deployment = Deployment(load_scenario(Path(sys.argv[1])), Path(sys.argv[2]), deployment_id=sys.argv[3])
deployment.prepare()
deployment.launch()
print(deployment._equipment.supervisor.pid, flush=True)
time.sleep(300)
"""
WORKFLOW = """\
- hosts: all
  launch:
    - shell: setsid --fork sleep 300
    - shell: exec sleep 300
      poll: 0
"""


@pytest.fixture
def owner(tmp_path, write_scenario):
    """A process that deployed a scenario and would live on: (process, supervisor's pid, marker)."""
    name = f"reap-test-{os.getpid()}"
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, write_scenario(WORKFLOW), tmp_path / "results" / "deployment", name],
        stdout=subprocess.PIPE,
        text=True,
    )
    with process.stdout:
        supervisor = int(process.stdout.readline())
    yield process, supervisor, f"OPTIPROV_DEPLOYMENT={name}"
    process.kill()
    process.wait()
    end_processes((f"OPTIPROV_DEPLOYMENT={name}",), set())


def test_deployment_ends_when_its_owner_is_killed(owner):
    """Nothing outlives a kill -9 of the deploying process, though a grandchild did setsid."""
    process, _, marker = owner
    wait_until(lambda: len(find_processes((marker,), set())) >= 4)
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_until(lambda: not find_processes((marker,), set()), 10)


def test_reap_ends_what_is_left_when_supervisor_was_killed_too(owner, tmp_path):
    """Processes whose owner and supervisor are both dead are found through the journal, once."""
    process, supervisor, marker = owner
    root = tmp_path / "results"
    assert reap_abandoned(root) == []
    os.kill(supervisor, signal.SIGKILL)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert find_processes((marker,), set())
    assert reap_abandoned(root) == [marker.partition("=")[2]]
    assert not find_processes((marker,), set())
    assert reap_abandoned(root) == []


def abandoned(deployment_id, **changes):
    """The first line of the journal of a deployment whose owner is dead, with changes."""
    event = {
        "event": "deployment",
        "id": deployment_id,
        "marker": f"OPTIPROV_DEPLOYMENT={deployment_id}",
        "owner_pid": 2**22 + 1,
        "owner_start": 1,
        "boot_id": boot_id(),
    }
    return json.dumps({**event, **changes})


FOREIGN = {
    "list": b"[1]\n",
    "mapping": b"{}\n",
    "number": b"1\n",
    "empty": b"",
    "binary": bytes(range(256)),
    "nested": b"[" * 100_000,
    "no owner": b'{"event": "deployment"}\n',
    "no process": abandoned("x", owner_pid=0).encode(),
    "no number": abandoned("x", owner_pid="1", owner_start=[]).encode(),
    "no boot": abandoned("x", boot_id=None).encode(),
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_reap_passes_over_what_is_no_journal_of_ours(tmp_path, content):
    """A file of the same name with anything in it does not keep what is ours from being reaped."""
    for name, text in (("a", content), ("b", abandoned("ours").encode())):
        (tmp_path / name).mkdir()
        (tmp_path / name / "journal.jsonl").write_bytes(text)
    assert reap_abandoned(tmp_path) == ["ours"]
    assert (tmp_path / "a" / "journal.jsonl").read_bytes() == content


@pytest.mark.parametrize("marker", ["", "HOME=/root", "OPTIPROV_DEPLOYMENT=y", None, ["x"]])
def test_journal_is_refused_when_its_marker_is_not_its_own(tmp_path, marker):
    """Whatever has the marker in its environment is ended: an empty one would mean every process.

    Only read here, never reaped: should the check go missing, the test must not end this machine's processes.
    """
    path = tmp_path / "journal.jsonl"
    path.write_text(abandoned("x", marker=marker))
    assert read_journal(path) is None


def test_reap_passes_over_journals_that_cannot_be_read(tmp_path):
    """A directory or a dangling link in a journal's place, or no root at all, is nothing to reap."""
    (tmp_path / "a" / "journal.jsonl").mkdir(parents=True)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "journal.jsonl").symlink_to(tmp_path / "vanished")
    assert reap_abandoned(tmp_path) == []
    assert reap_abandoned(tmp_path / "nowhere") == []


def test_reap_looks_only_where_deployments_are(tmp_path):
    """What an application wrote on its hosts, or had fetched, is left alone."""
    places = {
        "root": "",
        "single": "one",
        "trial": "study/trials/1",
        "host": "study/trials/1/hosts/edge.1/work",
        "fetched": "study/trials/1/fetched",
        "nested": "one/fetched/x",
    }
    for name, place in places.items():
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        (tmp_path / place / "journal.jsonl").write_text(abandoned(name))
    assert sorted(reap_abandoned(tmp_path)) == ["root", "single", "trial"]


def test_journal_passes_over_lines_that_are_no_events(tmp_path):
    """Sessions are those that were started and have not ended; 0 and 1 are no sessions of ours."""
    events = [
        {"event": "started", "pgid": 50, "start": 7},
        {"event": "started", "pgid": 51, "start": None},
        {"event": "ended", "pgid": 50},
        *({"event": "started", "pgid": pgid, "start": None} for pgid in (0, 1, -1, True, "5", None)),
        [1],
    ]
    path = tmp_path / "journal.jsonl"
    path.write_text("\n".join([abandoned("x"), *map(json.dumps, events), '{"event": "fin']))
    journalled = read_journal(path)
    assert (journalled.sessions, journalled.is_closed) == ({51: None}, False)


def test_journal_is_ours_when_the_id_has_an_equals_sign(deploy):
    """A study may be called `lr=0.1`: its deployments are marked by the same variable as others."""
    deployment = deploy(deployment_id="lr=0.1-x")
    deployment.prepare()
    journalled = read_journal(deployment.directory / "journal.jsonl")
    assert (journalled.id, journalled.marker) == ("lr=0.1-x", "OPTIPROV_DEPLOYMENT=lr=0.1-x")
    assert journalled.owner_pid == os.getpid()
    deployment.finalize()
    assert read_journal(deployment.directory / "journal.jsonl").is_closed
