"""Programs that emit records and note each whose call returned, and what must be stored of them.

An emitter appends a number to a file of its own (named by its client), unbuffered, right after the calls that
have it returned: whatever happens to it, what stands there was promised.
"""

from collections import Counter, defaultdict

RUN = 125  # numbers in a run
TOLD = 5  # every so many numbers a task with a text
LARGE = 200  # every so many numbers a large record
LARGE_CHARACTERS = 100_000

EMIT = """
import os, sys, time
from pathlib import Path
from optiprov.capture import Data, Task, Workflow, get_client
from optiprov.capture.spool import SpoolWriter
from optiprov.records import Annotation
from tests.faults.oracle import LARGE, LARGE_CHARACTERS, RUN, TOLD
from tests.faults.sabotage import commit_sabotage
directory, count, pause_s, filler = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
SpoolWriter.__init__.__kwdefaults__["segment_bytes"] = int(sys.argv[5])
commit_sabotage(sys.argv[6])
has_kinds = "kinds" in sys.argv
client = get_client()
oracle = os.open(directory / client.id, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

def data(dataset, **values):
    return [Data(dataset, "faults", [], values)]

for number in range(count):
    if has_kinds:
        if number % RUN == 0:
            workflow = Workflow("faults", run_id=f"{client.id}:{number}")
            workflow.begin()
        task = Task(number, workflow, "probe", [])
        task.begin(data("probe", n=number, x=number / 8))  # packed rows
        task.end(data("found", m=number))
        if number % TOLD == 0:  # a row of a shape in JSON
            text = f"{number}: it's \\u00e9\\n"
            Task(number, workflow, "tell", []).begin(data("told", n=number, text=text))
    value = os.urandom(filler).hex()
    if has_kinds and number % LARGE == LARGE - 1:
        value += "\\u00e9" * LARGE_CHARACTERS
    client.emit(Annotation("run", client.id, "", str(number), value, 1, None))
    if has_kinds and number % RUN == RUN - 1:
        workflow.end()
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

With one more argument "kinds" there are more beside each record: the begin and the end of a task, packed; now
and then the begin of one with a text, a large value, the end of a run and the begin of the next. With "wait"
it then prints its client and how many found no room, waits for a line, emits 100 more, and ends when all is
stored.
"""

LOST = """
    SELECT client_id, first_sequence, sum(record_count) AS records, max(reason) AS reason FROM prov.lost
    GROUP BY client_id, first_sequence HAVING sum(record_count) <> 0"""
"""What is lost: what was counted while nothing was heard of a client, and came after all, is taken back."""


def promised(directory):
    """Return how many numbers of each client were promised: they start at 0 and have no gap."""
    counts = {}
    for path in directory.iterdir():
        numbers = [int(line) for line in path.read_bytes().splitlines()]
        assert numbers == list(range(len(numbers)))
        counts[path.name] = len(numbers)
    return counts


def expected(count):
    """Return what a client emits up to a number, by the kind of record: the places in their order.

    Begins of tasks of both transformations are in one order: the second of a number has an odd place.
    """
    numbers = range(count)
    return {
        "annotation": list(numbers),
        "task_begin": sorted([2 * n for n in numbers] + [2 * n + 1 for n in numbers[::TOLD]]),
        "task_end": list(numbers),
        "run_begin": list(numbers[::RUN]),
        "run_end": list(numbers[RUN - 1 :: RUN]),
    }


def stored(provenance, order="ORDER BY rowid"):
    """Return the numbers that are stored of each client, in the order in which the store has them.

    MonetDB has no numbers of rows; a plain query gives them as they were inserted there.
    """
    frame = provenance.sql(f"SELECT target, key FROM prov.annotation {order}")
    return _by_client(frame["target"], frame["key"].astype(int))


def stored_kinds(provenance, order="ORDER BY rowid"):
    """Return the places that are stored by kind and client, as `expected` has them."""
    begins = provenance.sql("SELECT run_id, task_id, transformation FROM prov.task_begin ORDER BY arrival")
    # An end has no place in the order of arrivals; that of one client has its time.
    ends = provenance.sql(
        "SELECT run_id, task_id FROM prov.task_end ORDER BY ended_at, CAST(task_id AS BIGINT)"
    )
    run_begins = provenance.sql("SELECT run_id FROM prov.run_begin ORDER BY arrival")
    run_ends = provenance.sql(f"SELECT run_id, record_count FROM prov.run_end {order}")
    run_ends = run_ends[run_ends["record_count"].notna()]  # the others are the service's
    places = 2 * begins["task_id"].astype(int) + (begins["transformation"] == "tell")
    return {
        "annotation": stored(provenance, order),
        "task_begin": _by_client(_clients(begins), places),
        "task_end": _by_client(_clients(ends), ends["task_id"].astype(int)),
        "run_begin": _by_client(_clients(run_begins), _numbers(run_begins)),
        "run_end": _by_client(_clients(run_ends), _numbers(run_ends) + RUN - 1),
    }


def _clients(frame):
    return frame["run_id"].str.partition(":")[0]


def _numbers(frame):
    return frame["run_id"].str.partition(":")[2].astype(int)


def _by_client(clients, places):
    found = defaultdict(list)
    for client, place in zip(clients, places, strict=True):
        found[client].append(place)
    return dict(found)


def check_values(provenance):
    """See to it that each task has the values that it was given."""
    begun = "SELECT b.task_id, d.* FROM prov.task_begin b JOIN faults.{0} d ON d.{1}_task_id = b.task"
    probes = provenance.sql(begun.format("probe", "probe"))
    assert probes["task_id"].astype(int).tolist() == probes["n"].tolist()
    assert (probes["x"] * 8).tolist() == probes["n"].tolist()
    told = provenance.sql(begun.format("told", "tell"))
    assert told["text"].tolist() == [f"{n}: it's \u00e9\n" for n in told["n"]]
    assert told["task_id"].astype(int).tolist() == told["n"].tolist()
    found = provenance.sql(
        "SELECT e.task_id, d.m FROM prov.task_end e JOIN faults.found d ON d.probe_task_id = e.task"
    )
    assert found["task_id"].astype(int).tolist() == found["m"].tolist()
    for event, count in (("task_begin", len(probes) + len(told)), ("task_end", len(found))):
        assert provenance.sql(f"SELECT count(*) AS n FROM prov.{event}")["n"].tolist() == [count]


def check_exactly_once(provenance, directory, order="ORDER BY rowid", *, has_kinds=False):
    """See to it that what was promised is stored, once, and in order within its client; return how many.

    A client that was killed before its last note may have one number more, or a part of it.
    """
    for missing in ("SELECT * FROM prov.rejected", LOST):
        frame = provenance.sql(missing)
        assert frame.empty, frame.to_string()
    counts = promised(directory)
    kinds = stored_kinds(provenance, order) if has_kinds else {"annotation": stored(provenance, order)}
    for kind, found in kinds.items():
        for client, count in counts.items():
            _check_in_order(kind, client, found.pop(client, []), count)
        assert not found, f"{kind} of no emitter: {sorted(found)}"
    if has_kinds:
        check_values(provenance)
    return sum(counts.values())


def _check_in_order(kind, client, numbers, count):
    least, most = expected(count)[kind], expected(count + 1)[kind]
    assert len(numbers) >= len(least), f"client {client}: {kind} missing {_few(set(least) - set(numbers))}"
    twice = [place for place, times in Counter(numbers).items() if times > 1]
    assert numbers == most[: len(numbers)], (
        f"client {client}: of {len(least)} {kind}, {len(numbers)} stored,"
        f" missing {_few(set(least) - set(numbers))}, twice {_few(twice)}"
    )


def check_kept_or_counted(provenance, directory, reason):
    """See to it that what was promised, of each kind, is stored once and in order, or counted.

    Returns:
        How many are stored and how many are counted, of each client.
    """
    rejected = provenance.sql("SELECT * FROM prov.rejected")
    assert rejected.empty, rejected.to_string()
    lost = provenance.sql(LOST)
    assert set(lost["reason"]) <= {reason}, lost.to_string()
    counted = lost.groupby("client_id")["records"].sum()
    kinds = stored_kinds(provenance)
    kept = {}
    for client, count in promised(directory).items():
        most = expected(count + 1)
        numbers = {kind: found.get(client, []) for kind, found in kinds.items()}
        for kind in kinds:
            assert numbers[kind] == sorted(set(numbers[kind])), f"{kind} of {client}: twice, or out of order"
            assert set(numbers[kind]) <= set(most[kind]), f"{kind} of {client}: never emitted"
        kept[client] = sum(map(len, numbers.values())), int(counted.get(client, 0))
        least, most = (sum(map(len, expected(one).values())) for one in (count, count + 1))
        assert least <= sum(kept[client]) <= most, f"{client}: {kept[client]} of {least} to {most}"
    return kept


def _few(numbers):
    return sorted(numbers)[:5]
