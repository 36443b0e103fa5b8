"""Packed rows: usual tasks say what others would, from any thread, whatever interrupts them."""

import math
import multiprocessing
import random
import signal
import threading

import pytest

from optiprov.capture import Data, File, Task, Workflow
from optiprov.capture.packing import CAN_PACK
from optiprov.capture.segment import SegmentReader, segments
from optiprov.capture.spool_reader import SpoolReader
from optiprov.records import RunEnd, TaskBegin, TaskEnd
from optiprov.wire.slots import MAX_VALUES, SLOT_BYTES
from tests.capture.test_client import only, spooled


def run_task(workflow, number, values=None, results=None):
    """Run a task that uses and generates numbers."""
    task = Task(number, workflow, "train", [])
    task.begin([Data("in", "f", [], values or {"a": number, "b": -number})])
    task.end([Data("out", "f", [], results or {"x": number / 8})])


def packed(root):
    """Return how many of the records below a spool directory are packed rows."""
    count = 0
    for path in root.glob("*/client.json"):
        reader = SpoolReader(path.parent)
        while (chunk := reader.read(1000, 1 << 20)).records:
            count += chunk.records.count(None)
        reader.close()
    return count


def test_this_python_packs():
    """Otherwise nothing here is tested."""
    assert CAN_PACK


def test_tasks_with_numbers_are_packed_and_say_what_they_did(offline):
    """Ids, times, items and values come back, over several segments."""
    workflow = Workflow("f")
    for number in range(6000):
        run_task(workflow, number)
    assert packed(offline) == 12_000
    records = only(spooled(offline))
    assert [record.task_id for record in records] == [str(n // 2) for n in range(12_000)]
    begin, end = records[2222:2224]
    assert isinstance(begin, TaskBegin)
    assert isinstance(end, TaskEnd)
    assert begin.used[0].attributes == {"a": 1111, "b": -1111}
    assert end.generated[0].attributes == {"x": 1111 / 8}
    assert (begin.dependencies, begin.host, end.status, end.error) == ([], None, "finished", None)
    assert records[0].started_us <= begin.started_us <= end.ended_us <= records[-1].ended_us
    items = [item.item_id for one in records for item in (one.used if one in (begin,) else [])]
    assert len(set(items)) == len(items) == 1
    assert len(segments(next(offline.iterdir()))) > 2


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"a": 1, "b": 2.5}, {"a": 1, "b": 2.5}),
        ({"a": [1], "b": [2.5]}, {"a": [1], "b": [2.5]}),
        ({}, {}),
        ({f"v{n}": n for n in range(MAX_VALUES)}, None),
        ({"a": -(2**63), "b": math.inf}, None),
    ],
)
def test_numbers_come_back_as_they_were(offline, given, kept):
    """Alone or in lists of their own, none, as many as fit, the extremes."""
    workflow = Workflow("f")
    for number in range(3):
        run_task(workflow, number, given or {}, given)
    ends = [record for record in only(spooled(offline)) if isinstance(record, TaskEnd)]
    if given:
        assert [one.generated[0].attributes for one in ends] == [kept or given] * 3
        assert packed(offline) == 6


@pytest.mark.parametrize(
    ("odd", "is_packed"),
    [
        ({"x": "text"}, False),
        ({"x": None}, False),
        ({"x": [1, 2]}, False),
        ({"x": []}, False),
        ({"x": {"deep": [1]}}, False),
        ({"x": b"bytes"}, False),
        ({"x": 10**400}, False),
        ({f"v{n}": n for n in range(MAX_VALUES + 1)}, False),
        ({"x": True}, True),  # of an attribute that is a number, a boolean is 1 or 0
        ({"x": 2}, True),
        ({"y": 1.0}, True),
        ({"x": 1.0, "y": 2}, True),
        ({}, True),
    ],
)
def test_what_is_odd_goes_another_way_in_its_place(offline, odd, is_packed):
    """It costs nothing but itself, and those behind it are packed again."""
    workflow = Workflow("f")
    for results in ({"x": 1.0}, odd, {"x": 3.0}):
        task = Task(1, workflow, "t")
        task.end([Data("out", "f", [], results)])
    ends = [record.generated[0].attributes for record in only(spooled(offline))]
    assert ends[0] == {"x": 1.0}
    assert ends[2] == {"x": 3.0}
    tagged = {"x": {"$": "bytes", "v": "Ynl0ZXM="}} if odd == {"x": b"bytes"} else odd
    assert ends[1] == tagged
    assert packed(offline) == 2 + is_packed


def test_what_a_packed_row_cannot_say_is_said(offline, tmp_path):
    """Ids that are text, dependencies, hosts, statuses, derivations, files, several items, one again."""
    workflow = Workflow("f")
    for number in range(3):
        run_task(workflow, number)
    first = Data("out", "f", [], {"x": 0.5})
    Task("name", workflow, "train", []).begin([Data("in", "f", [], {"a": 1, "b": 2})])
    Task(10, workflow, "train", [9]).begin([Data("in", "f", [], {"a": 1, "b": 2})])
    Task(11, workflow, "train", [], host="edge").begin([Data("in", "f", [], {"a": 1, "b": 2})])
    Task(12, workflow, "train", []).end([first], status="failed")
    Task(13, workflow, "train", []).end([Data("out", "f", [first], {"x": 0.5})])
    Task(14, workflow, "train", []).end([File(tmp_path / "f")])
    Task(15, workflow, "train", []).end([first])
    Task(16, workflow, "train", []).end([Data("out", "f", [], {"x": 1.0}), Data("out", "f", [], {"x": 2.0})])
    name, depends, host, failed, derived, file, again, two = only(spooled(offline))[6:]
    assert (name.task_id, depends.dependencies, host.host) == ("name", ["9"], "edge")
    assert failed.status == "failed"
    assert derived.generated[0].derived_from == [failed.generated[0].item_id]
    assert file.generated[0].file["path"] == str(tmp_path / "f")
    assert again.generated[0].item_id == failed.generated[0].item_id
    assert again.generated[0].attributes is None
    assert [item.attributes for item in two.generated] == [{"x": 1.0}, {"x": 2.0}]
    assert packed(offline) == 6


def test_item_of_a_packed_row_is_referred_to_by_others(offline):
    """Given to a second task, and as what a third item is derived from."""
    workflow = Workflow("f")
    made = [Data("out", "f", [], {"x": 1.0}) for _ in range(2)]
    for number, item in enumerate(made):
        Task(number, workflow, "t").end([item])
    Task(2, workflow, "u").begin([made[1]])
    Task(3, workflow, "v").end([Data("model", "f", [made[1]], {"y": 1})])
    records = only(spooled(offline))
    assert records[2].used[0].item_id == records[1].generated[0].item_id == made[1].id
    assert records[3].generated[0].derived_from == [made[1].id]
    assert packed(offline) == 2


def test_threads_pack_without_loss(offline):
    """Each record of each thread is there once, in its thread's order, over several segments."""
    workflow = Workflow("f")

    def work(name):
        for number in range(4000):
            run_task(workflow, 100_000 * name + number)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    records = only(spooled(offline))
    for name in range(4):
        own = [int(one.task_id) % 100_000 for one in records if int(one.task_id) // 100_000 == name]
        assert own == [number // 2 for number in range(8000)]
    assert packed(offline) == 32_000


def test_exception_in_the_midst_of_packing_leaves_no_gap(offline):
    """After a Ctrl-C anywhere, the numbers go on, and what returned is there once and in order."""

    class Interruption(Exception):
        pass

    armed, returned = [], []

    def handler(*_):
        if armed:
            raise Interruption

    workflow = Workflow("f")
    run_task(workflow, 0)
    interruptions = 0
    before = signal.signal(signal.SIGALRM, handler)
    try:
        for number in range(1, 12_000):
            signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 2e-5))
            try:
                armed.append(True)
                Task(number, workflow, "train", []).begin([Data("in", "f", [], {"a": number, "b": 1})])
                armed.clear()
                returned.append(number)
            except Interruption:
                armed.clear()
                interruptions += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    workflow.end()
    assert interruptions > 100
    *records, end = only(spooled(offline))
    assert isinstance(end, RunEnd)
    there = [int(record.task_id) for record in records[2:]]
    assert there == sorted(set(there))
    assert set(returned) <= set(there)


def test_signal_handler_packs_in_the_midst_of_anything(offline):
    """What it emits is there, and so is what it interrupted."""
    workflow = Workflow("f")
    run_task(workflow, 0)
    handled, is_inside = [], []

    def handler(*_):
        if not is_inside:  # one at a time: they are numbered
            is_inside.append(True)
            handled.append(len(handled))
            Task(10**6 + len(handled), workflow, "train", []).end([Data("out", "f", [], {"x": 0.5})])
            is_inside.clear()

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        for number in range(1, 15_000):
            run_task(workflow, number)
            if number % 50 == 0:
                Task("text", workflow, "other").begin()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    ids = [record.task_id for record in only(spooled(offline)) if record.task_id != "text"]
    own = [int(one) for one in ids if int(one) < 10**6]
    assert own == [number // 2 for number in range(30_000)]
    assert [int(one) for one in ids if int(one) > 10**6] == [10**6 + 1 + n for n in range(len(handled))]
    assert len(handled) > 10


def _go_on(workflow):
    for number in range(100, 103):
        run_task(workflow, number)
    workflow.end()


def test_forked_child_packs_into_a_spool_of_its_own(offline):
    """The parent's packed rows go on undisturbed."""
    workflow = Workflow("f")
    run_task(workflow, 0)
    child = multiprocessing.get_context("fork").Process(target=_go_on, args=(workflow,))
    child.start()
    child.join()
    assert child.exitcode == 0
    run_task(workflow, 1)
    found = sorted(spooled(offline).values(), key=len)
    assert [record.task_id for record in found[0]] == ["0", "0", "1", "1"]
    assert [record.task_id for record in found[1][:-1]] == [str(n) for n in (100, 100, 101, 101, 102, 102)]
    assert found[1][-1].record_count == 7
    assert packed(offline) == 10


def test_damaged_packed_rows_are_counted_when_their_client_is_gone(offline):
    """A sealed segment has checksums of its rows; a group that does not match is lost, and no other."""
    workflow = Workflow("f")
    for number in range(5000):
        run_task(workflow, number)
    directory = next(offline.iterdir())
    path = segments(directory)[0][1]
    with path.open("r+b") as file:
        reader = SegmentReader(path)
        place = reader._begin + 100 * SLOT_BYTES + 24
        reader.close()
        file.seek(place)
        file.write(b"\x55")
    reader, lost, seen = SpoolReader(directory, has_ended=True), 0, 0
    while (chunk := reader.read(1000, 1 << 20)).records:
        seen += len(chunk.records)
        lost += len(chunk.records) - chunk.records.count(None)
    assert (seen, lost) == (10_000, 64)
    reader.close()


def test_shapes_beyond_the_bound_of_a_segment_go_another_way(offline):
    """A hundred transformations: what finds no room for its shape is stored all the same."""
    workflow = Workflow("f")
    for turn in range(2):
        for kind in range(100):
            Task(turn, workflow, f"t{kind}").end([Data(f"d{kind}", "f", [], {"x": 1.0 * turn})])
    records = only(spooled(offline))
    assert [record.transformation for record in records] == [f"t{kind}" for kind in range(100)] * 2
    assert 0 < packed(offline) < 200
