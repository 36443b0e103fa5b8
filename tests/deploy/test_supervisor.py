import os
import signal
import subprocess
import sys
import time

from optiprov.deploy import Supervisor
from optiprov.deploy.watchdog import find_processes
from tests.waiting import wait_until

OWNER = """
import os, subprocess, sys, time
from optiprov.deploy import Supervisor
supervisor = Supervisor("MARK={mark}")
env = {{**os.environ, **supervisor.environment}}
# One that ignores TERM, a grandchild in a session of its own, and one without the marker.
subprocess.Popen(["sh", "-c", "trap '' TERM; while :; do sleep 1; done"], env=env)
subprocess.Popen(["sh", "-c", "setsid sleep 300 & exit 0"], env=env)
bare = subprocess.Popen(["sleep", "300"], start_new_session=True)
supervisor.watch(bare.pid)
print(bare.pid, flush=True)
time.sleep(300)
"""


def test_everything_marked_or_watched_ends_when_owner_is_killed():
    """After kill -9 of the owner all of its processes end in 10 s, also those that escaped its session."""
    mark = f"MARK=supervisor-test-{os.getpid()}"
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER.format(mark=mark.partition("=")[2])], stdout=subprocess.PIPE, text=True
    )
    with owner.stdout:
        bare = int(owner.stdout.readline())
    # The shell that ignores TERM, its sleep, and the sleep in a session of its own.
    wait_until(lambda: len(find_processes((mark,), set())) >= 3)
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    wait_until(lambda: not find_processes((mark,), {bare}), 10)


def test_nothing_is_killed_when_supervisor_is_closed():
    """A clean end leaves the processes alone; closing twice does nothing."""
    with Supervisor(f"close-test-{os.getpid()}") as supervisor:
        env = {**os.environ, **supervisor.environment}
        child = subprocess.Popen(["sleep", "300"], env=env, start_new_session=True)
        supervisor.watch(child.pid)
    supervisor.close()
    time.sleep(0.1)
    assert child.poll() is None
    child.kill()
    child.wait()


def test_supervisor_is_in_a_session_of_its_own():
    """Ctrl-C in the terminal does not reach the supervising process, and it has no marker itself."""
    with Supervisor("session-test") as supervisor:
        assert os.getsid(supervisor.pid) == supervisor.pid
        assert supervisor.environment == {"OPTIPROV_DEPLOYMENT": "session-test"}
        assert not find_processes(("OPTIPROV_DEPLOYMENT=session-test",), set())
