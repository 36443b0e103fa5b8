import subprocess
import sys

from optiprov.deploy.ports import PortAllotment

ALLOT = """
import sys
from optiprov.deploy import ports
ports._candidates = lambda: range(21000, 21150)
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
    monkeypatch.setattr("optiprov.deploy.ports._candidates", lambda: range(port, port + 1))
    assert allotment.allot() == port
    allotment.release()
