"""A process ends within its flush deadline, whoever does not answer."""

import contextlib
import signal
import socket
import threading
import time

import pytest

from optiprov.capture.leftover import waiting_clients
from optiprov.serve.broker import EmbeddedBroker
from tests.waiting import PATIENCE_S, least_of

DEADLINE_S = 1.0
BOUND_S = 3.0  # with what the interpreter takes to end; nobody answers before the keepalive of 15 s is over
EMIT = """
import sys
from optiprov import Task, Workflow
workflow = Workflow("f")
workflow.begin()
Task(1, workflow, "t").begin()
print("emitted", flush=True)
sys.stdin.readline()
"""


@contextlib.contextmanager
def silent_peer():
    """A server that takes connections, and neither reads nor says anything."""
    taken = []

    def take():
        with contextlib.suppress(OSError):
            while True:
                taken.append(server.accept()[0])

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        yield f"mqtt://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
    thread.join(PATIENCE_S)
    for one in taken:
        one.close()


@contextlib.contextmanager
def lonely_broker():
    """A broker that no service uses."""
    broker = EmbeddedBroker("127.0.0.1", 0)
    yield broker.address.url
    broker.stop()


@pytest.mark.parametrize("peer", [silent_peer, lonely_broker])
@pytest.mark.parametrize("way", ["exit", "SIGTERM"])
def test_process_ends_within_the_deadline_where_nobody_acknowledges(start_python, tmp_path, peer, way):
    """It has emitted, and waits no longer than it may; what it emitted is in its spool."""
    with peer() as address:

        def end():
            process = start_python(EMIT, OPTIPROV_BROKER=address, OPTIPROV_FLUSH_TIMEOUT_S=str(DEADLINE_S))
            assert process.stdout.readline() == "emitted\n"
            begun = time.monotonic()
            if way == "exit":
                process.stdin.write("\n")
                process.stdin.flush()
            else:
                process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_S) == (0 if way == "exit" else -signal.SIGTERM)
            return time.monotonic() - begun

        assert least_of(end, BOUND_S, attempts=5) < BOUND_S
    assert {one.records for one in waiting_clients(tmp_path / "spool")} == {2}
