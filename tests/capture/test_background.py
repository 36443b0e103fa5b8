"""Forks beside threads of ours that import modules."""

from tests.waiting import PATIENCE_S


def test_fork_waits_for_imports_of_our_threads(start_python, tmp_path):
    """A child that was forked in the midst of an import would wait for ever at its own."""
    (tmp_path / "slow_module.py").write_text("import time; time.sleep(1); x = 1\n")
    code = """
import os, signal, sys, threading
from optiprov.capture.background import importing
started = threading.Event()
def work():
    with importing():
        started.set()
        import slow_module
threading.Thread(target=work, daemon=True).start()
started.wait()
child = os.fork()
if child == 0:
    signal.alarm(60)
    import slow_module
    from optiprov import Workflow
    Workflow("f").begin()
    os._exit(7)
print(os.WEXITSTATUS(os.waitpid(child, 0)[1]))
"""
    process = start_python(code, path=[tmp_path])
    output, errors = process.communicate(timeout=PATIENCE_S)
    assert output == "7\n", errors


def test_children_forked_as_the_publisher_starts_deliver(run_python, shared_service):
    """Right after `begin()` its thread imports paho, which the publisher of a child imports too."""
    code = """
import os
from optiprov import Workflow
from optiprov.capture import get_client
wf = Workflow("f"); wf.begin()
children = []
for number in range(5):
    child = os.fork()
    if child == 0:
        own = Workflow("child"); own.begin()
        os._exit(0 if get_client().flush(60) else 1)
    children.append(child)
print([os.waitpid(child, 0)[1] for child in children])
wf.end()
"""
    output, _ = run_python(code, OPTIPROV_BROKER=shared_service.mqtt)
    assert output == "[0, 0, 0, 0, 0]\n"
