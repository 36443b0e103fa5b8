"""The first call of a process, which makes its client, and what may interrupt it."""

from tests.capture.test_client import spooled

FORKS = """
import os, signal, sys, time
from optiprov.capture import get_client
from optiprov.records import Annotation

def emit(name):
    get_client().emit(Annotation("run", "r", "", name, 1, 1, None))

signal.signal(signal.SIGALRM, lambda *_: emit("handler"))
for number in range(int(sys.argv[1])):
    child = os.fork()
    if child == 0:
        signal.setitimer(signal.ITIMER_REAL, 1e-5 + 5e-4 * number)
        emit("application")
        while signal.getitimer(signal.ITIMER_REAL)[0]:
            time.sleep(0.001)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""

DURING = """
import signal, sys, time
from optiprov.capture import client as module, get_client
from optiprov.records import Annotation

def emit(name):
    get_client().emit(Annotation("run", "r", "", name, 1, 1, None))

make_spool = module.Client._make_spool

def interrupted(client):
    signal.raise_signal(signal.SIGUSR1)
    time.sleep(0.05)
    return make_spool(client)

signal.signal(signal.SIGUSR1, lambda *_: emit("handler"))
module.Client._make_spool = interrupted
emit("application")
"""


def emitted(root):
    """Return how often each name was emitted."""
    names = [record.key for records in spooled(root).values() for record in records]
    return {name: names.count(name) for name in names}


def test_signal_handler_emits_while_the_client_is_made(run_python, tmp_path):
    """It interrupts the making for sure: both records are there, of one client, and nothing hangs."""
    run_python(DURING, PROVLIGHT_SERVER_URL="127.0.0.1:9", OPTIPROV_FLUSH_TIMEOUT_S="0.1")
    assert emitted(tmp_path / "spool") == {"application": 1, "handler": 1}
    assert len(spooled(tmp_path / "spool")) == 1


def test_signal_handler_emits_at_any_moment_of_the_first_call(run_python, tmp_path):
    """In one forked child after another, a moment later in each."""
    run_python(FORKS, 30, PROVLIGHT_SERVER_URL="127.0.0.1:9", OPTIPROV_FLUSH_TIMEOUT_S="0.1")
    assert emitted(tmp_path / "spool") == {"application": 30, "handler": 30}
