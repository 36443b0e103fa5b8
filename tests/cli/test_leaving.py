"""How the process of a command ends."""

import pytest

PROGRAM = """
import atexit, sys, threading, time
from optiprov.cli.leaving import run_and_leave

class Native:
    def __del__(self):
        print("destroyed", flush=True)

def linger():
    threading.main_thread().join()
    print("thread ended", flush=True)

def run():
    sys.native = Native()  # as modules are, it is destroyed by the interpreter
    atexit.register(print, "exit handler ran")
    threading.Thread(target=linger).start()
    print("not flushed yet, ", end="")
    {end}

run_and_leave(run)
"""


@pytest.mark.parametrize(
    ("end", "status", "error"),
    [
        ("return 0", 0, ""),
        ("return 1", 1, ""),
        ("return 130", 130, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit(2)", 2, ""),
        ("sys.exit('in words')", 1, "in words"),
        ("raise KeyboardInterrupt", 130, ""),
        ("raise LookupError('not foreseen')", 1, "LookupError: not foreseen"),
    ],
)
def test_process_ends_with_its_status_once_all_is_done(run_python, end, status, error):
    """Threads have ended, exit handlers have run, all is written; the interpreter destroys nothing."""
    output, errors = run_python(PROGRAM.format(end=end), status=status)
    assert output == "not flushed yet, thread ended\nexit handler ran\n"
    assert errors.strip().splitlines()[-1:] == [error] * bool(error)


def test_output_that_cannot_be_written_is_a_failure(run_python):
    """A disk that is full when the last words are flushed."""
    program = """
import sys
from optiprov.cli.leaving import run_and_leave

def run():
    sys.stdout = open("/dev/full", "w")
    sys.stdout.write("lost")
    return 0

run_and_leave(run)
"""
    run_python(program, status=1)


def test_child_that_was_forked_ends_with_its_own_status(run_python):
    """The parent's exit handler is the child's too."""
    program = """
import os, sys
from optiprov.cli.leaving import run_and_leave

def run():
    child = os.fork()
    if child == 0:
        sys.exit(7)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

run_and_leave(run)
"""
    run_python(program, status=7)
