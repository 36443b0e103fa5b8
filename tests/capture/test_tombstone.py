"""A tombstone is there once, whatever instruction a kill or a Ctrl-C strikes at."""

import random

import pytest

EACH_INSTRUCTION = """
import json, os, signal, sys
from pathlib import Path
from optiprov.capture.recovery import open_state
from optiprov.capture.spool import SpoolWriter, leave_tombstone, lock_spool
from optiprov.capture.spool_reader import SpoolReader

root, who, how = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
first, step = int(sys.argv[4]), int(sys.argv[5])
NOT_STRUCK, LIMIT = 3, 3000
is_full = False

class Interruption(BaseException):
    pass

def take_room(size_bytes):
    if is_full:
        raise OSError("full")

def refuse(spool, times):
    global is_full
    is_full = True
    for _ in range(times):
        assert not spool.append(b"x" * 200)
    is_full = False

def strike_at(number):
    "Kill this process, or raise, at this instruction of the spool's code from now on."
    def trace(frame, event, _):
        nonlocal number
        frame.f_trace_opcodes = True
        if event == "opcode" and frame.f_code.co_filename.endswith(("spool.py", "spool_state.py")):
            number -= 1
            if number == 0:
                if how == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                sys.settrace(None)
                raise Interruption
        return trace
    sys.settrace(trace)

def recover(directory, number=0):
    state = open_state(directory)
    strike_at(number)
    leave_tombstone(directory, state)
    sys.settrace(None)
    state.close()

def run(directory, number):
    spool = SpoolWriter(directory, {"client": "c"}, segment_bytes=200, take_room=take_room)
    while spool._segment is None or spool._segment.room > 100:  # the tombstone gets a segment of its own
        assert spool.append(b'["x"]')
    refuse(spool, 3)
    if who == "sender":
        spool.forget()
        lock_spool(directory)
        recover(directory, number)
        os._exit(NOT_STRUCK)
    strike_at(number)
    try:
        spool.count_lost()
    except Interruption:
        refuse(spool, 2)
        assert spool.append(b'["y"]')
        os._exit(0)
    os._exit(NOT_STRUCK)

def counted(directory):
    reader, counts = SpoolReader(directory), []
    while batch := reader.read(1000, 1 << 20)[1]:
        counts += [record[1] for record in map(json.loads, batch) if record[0] not in ("x", "y")]
    return sum(counts)

for number in range(first, LIMIT, step):
    directory = root / str(number)
    child = os.fork()
    if child == 0:
        try:
            run(directory, number)
        finally:
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == NOT_STRUCK:
        print(number)
        break
    assert os.WIFSIGNALED(status) if how == "kill" else status == 0, status
    recover(directory)
    expected = 5 if (who, how) == ("writer", "raise") else 3
    assert counted(directory) == expected, (number, counted(directory))
"""


CASES = pytest.mark.parametrize(("who", "how"), [("writer", "kill"), ("writer", "raise"), ("sender", "kill")])


@CASES
def test_what_is_lost_is_counted_once_whatever_instruction_is_struck(run_python, tmp_path, who, how):
    """One in ten of the instructions that leave the tombstone: of the client, or of who sends its spool."""
    strike(run_python, tmp_path, who, how, random.SystemRandom().randrange(1, 11), 10)


@CASES
@pytest.mark.long
def test_what_is_lost_is_counted_once_at_each_instruction(run_python, tmp_path, who, how):
    """Every one of them."""
    strike(run_python, tmp_path, who, how, 1, 1)


def strike(run_python, directory, who, how, first, step):
    """Strike at an instruction, and at every so many behind it."""
    (directory / "spools").mkdir()
    instructions, _ = run_python(EACH_INSTRUCTION, directory / "spools", who, how, str(first), str(step))
    assert int(instructions) > 50
