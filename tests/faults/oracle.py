"""Programs that emit records and note each whose call returned, and what must be stored of them.

An emitter appends the number of a record to a file of its own (named by its client), unbuffered, right after
the call returned: whatever happens to it, what stands there was promised.
"""

EMIT = """
import os, sys, time
from pathlib import Path
from optiprov.capture import Data, Task, Workflow, get_client
from optiprov.capture.spool import SpoolWriter
from optiprov.records import Annotation
from tests.faults.sabotage import commit_sabotage
directory, count, pause_s, filler = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
SpoolWriter.__init__.__kwdefaults__["segment_bytes"] = int(sys.argv[5])
commit_sabotage(sys.argv[6])
client = get_client()
oracle = os.open(directory / client.id, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
workflow = Workflow("faults")
for number in range(count):
    if "tasks" in sys.argv:  # which are packed rows
        probe = Data("probe", "faults", [], {"n": number, "x": number / 8})
        Task(number, workflow, "probe", []).begin([probe])
    client.emit(Annotation("run", client.id, "", str(number), os.urandom(filler).hex(), 1, None))
    os.write(oracle, b"%d\\n" % number)
    if number % 20 == 0:
        time.sleep(pause_s)
if "wait" in sys.argv:
    print(client.id, client.lost, flush=True)
    sys.stdin.readline()
    for number in range(count, count + 100):
        client.emit(Annotation("run", client.id, "", str(number), "after", 1, None))
        os.write(oracle, b"%d\\n" % number)
    while not client.flush(1):
        time.sleep(0.1)
"""
"""Emits records: the oracle's directory, how many, the pause after every twentieth, the random bytes in each,
the size of segments, a sabotage.

With one more argument "tasks" it begins a task in front of each record. With "wait" it then prints its client
and how many found no room, waits for a line, emits 100 more, and ends when all is stored.
"""

LOST = """
    SELECT client_id, first_sequence, sum(record_count) AS records, max(reason) AS reason FROM prov.lost
    GROUP BY client_id, first_sequence HAVING sum(record_count) <> 0"""
"""What is lost: what was counted while nothing was heard of a client, and came after all, is taken back."""


def promised(directory):
    """Return how many records of each client were promised: their numbers start at 0 and have no gap."""
    counts = {}
    for path in directory.iterdir():
        numbers = [int(line) for line in path.read_bytes().splitlines()]
        assert numbers == list(range(len(numbers)))
        counts[path.name] = len(numbers)
    return counts


def stored(provenance, order="ORDER BY rowid"):
    """Return the numbers that are stored of each client, in the order in which the store has them.

    MonetDB has no numbers of rows; a plain query gives them as they were inserted there.
    """
    frame = provenance.sql(f"SELECT target, key FROM prov.annotation {order}")
    return {client: [int(key) for key in rows["key"]] for client, rows in frame.groupby("target", sort=False)}


def stored_tasks(provenance):
    """Return the numbers of each client's tasks in the order in which they arrived, as their values say."""
    frame = provenance.sql(
        "SELECT b.client_id, b.task_id, p.n, p.x FROM prov.task_begin b JOIN faults.probe p"
        " ON p.probe_task_id = b.task ORDER BY b.arrival"
    )
    assert (
        frame["task_id"].astype(int).tolist() == frame["n"].tolist() == (frame["x"] * 8).astype(int).tolist()
    )
    return {client: rows["n"].tolist() for client, rows in frame.groupby("client_id", sort=False)}


def check_exactly_once(provenance, directory, order="ORDER BY rowid", *, has_tasks=False):
    """See to it that each promised record is stored, once, and in order within its client; return how many.

    A client that was killed between its last call and its note of it may have one record more.
    """
    for missing in ("SELECT * FROM prov.rejected", LOST):
        frame = provenance.sql(missing)
        assert frame.empty, frame.to_string()
    expected = promised(directory)
    _check_in_order(stored(provenance, order), expected)
    if has_tasks:
        _check_in_order(stored_tasks(provenance), expected)
    return sum(expected.values())


def _check_in_order(found, expected):
    for client, count in expected.items():
        numbers = found.pop(client, [])
        assert numbers in (list(range(count)), list(range(count + 1))), (
            f"client {client}: {count} promised, {len(numbers)} stored, missing "
            f"{sorted(set(range(count)) - set(numbers))[:5]}, twice "
            f"{sorted({n for n in numbers if numbers.count(n) > 1})[:5] if len(numbers) < 5000 else '?'}"
        )
    assert all(len(numbers) == 1 for numbers in found.values()), f"of no emitter: {sorted(found)}"
