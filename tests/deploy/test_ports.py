import subprocess
import sys

import pytest

from optiprov.deploy.journal import Journal
from optiprov.deploy.ports import PortAllotment
from optiprov.deploy.reservations import Reservations
from optiprov.errors import DeploymentError

ALLOT = """
import sys
from optiprov.deploy import ports
ports.candidates = lambda: range(21000, 21150)
allotment = ports.PortAllotment()
print(*[allotment.allot() for _ in range(50)], flush=True)
sys.stdin.read()
allotment.release()
"""


def test_ports_are_disjoint_when_processes_allot_from_the_same_range():
    """Two processes that hold 50 of 150 ports each have none in common."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ALLOT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    held = [process.stdout.readline().split() for process in processes]
    for process in processes:
        process.communicate()
    assert [len(ports) for ports in held] == [50, 50]
    assert not set(held[0]) & set(held[1])


def test_port_is_free_for_the_service_and_given_again_after_release(monkeypatch):
    """A held port can be bound by the application; a released one is allotted again."""
    allotment = PortAllotment()
    port = allotment.allot()
    listening = subprocess.run(
        [sys.executable, "-c", f"import socket; socket.create_server(('', {port}))"], check=False
    )
    assert listening.returncode == 0
    allotment.release()
    monkeypatch.setattr("optiprov.deploy.ports.candidates", lambda: range(port, port + 1))
    assert allotment.allot() == port
    allotment.release()


def test_reserved_port_is_no_others_until_its_deployment_is_closed(tmp_path):
    """A deployment that outlives its process keeps its ports; a closed or vanished one does not."""
    journal = Journal(tmp_path / "journal.jsonl")
    journal.write_owner("reserving", is_detached=True)
    first = PortAllotment(journal.path)
    port = first.allot()
    first.let_go()
    other = Reservations(tmp_path / "other.jsonl")
    assert other.is_taken(port)
    assert not Reservations(journal.path).is_taken(port)
    again = PortAllotment(journal.path)
    again.take(port)
    with pytest.raises(DeploymentError, match=f"the port {port} of this deployment is held by another one"):
        PortAllotment().take(port)
    again.let_go()
    journal.write("finalized")
    assert not other.is_taken(port)
    again.release()


def test_port_that_was_reserved_before_a_kill_is_given_back(tmp_path):
    """Though no host of the journal has it: undoing the deployment gives back what names its journal."""
    journal = Journal(tmp_path / "journal.jsonl")
    journal.write_owner("reserving", is_detached=True)
    killed = PortAllotment(journal.path)
    port = killed.allot()
    killed.let_go()  # as the kernel does, before the host of the port is in the journal
    other = Reservations(tmp_path / "other.jsonl")
    assert other.is_taken(port)
    PortAllotment(journal.path).release()
    assert not other.is_taken(port)
    assert not (other._directory / str(port)).is_symlink()


def test_reservations_of_vanished_deployments_are_removed_by_others(tmp_path):
    """Those of a deployment that is there stay."""
    journals = [Journal(tmp_path / f"{name}.jsonl") for name in ("vanished", "there", "ending")]
    for journal in journals:
        journal.write_owner("reserving", is_detached=True)
    vanished, there, ending = (PortAllotment(journal.path) for journal in journals)
    ports = [one.allot() for one in (vanished, there, ending)]
    vanished.let_go()
    journals[0].path.unlink()
    ending.release()
    directory = Reservations(None)._directory
    assert [(directory / str(port)).is_symlink() for port in ports] == [False, True, False]
    there.release()
