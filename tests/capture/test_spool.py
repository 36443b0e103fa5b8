"""The spool: what was appended is there, in order, whatever happens to its writer."""

import fcntl
import os
import random
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from optiprov.capture import send_leftovers
from optiprov.capture.recovery import last_number
from optiprov.capture.segment import SegmentReader, segments
from optiprov.capture.spool import NO_ROOM, SpoolWriter, free_acknowledged, lock_spool
from optiprov.capture.spool_reader import SpoolReader
from optiprov.capture.spool_state import SpoolState
from optiprov.records import Lost
from optiprov.wire import BrokerAddress, decode_record
from tests.faults.filesystem import require_mounts

IDENTITY = {"client": "c"}


@pytest.fixture
def spool(tmp_path):
    """A spool with segments of 4 kB."""
    writer = SpoolWriter(tmp_path / "c", IDENTITY, segment_bytes=4096)
    yield writer
    writer.close()


def read_all(directory):
    """Return the (number, payload) of all records of a spool."""
    reader = SpoolReader(directory)
    found = []
    while True:
        first, records, _ = reader.read(7, 1 << 20)
        if not records:
            reader.close()
            return found
        found += enumerate(records, first)


def numbered(count, size=0):
    """Return payloads that begin with their number."""
    return [b"%d " % number + b"x" * size for number in range(1, count + 1)]


def test_records_come_back_in_order_over_segments(spool):
    """Segments roll over without a gap."""
    payloads = numbered(500, 20)
    assert all(spool.append(payload) for payload in payloads)
    assert len(segments(spool.directory)) > 3
    assert read_all(spool.directory) == list(enumerate(payloads, 1))
    assert spool.head == 500


def test_record_larger_than_a_segment_is_kept(spool):
    """It gets a segment of its own size."""
    payloads = [b"a", b"b" * 10_000, b"c", b"d" * 4096, b"", b"e"]
    for payload in payloads[:4] + payloads[5:]:
        assert spool.append(payload)
    assert [payload for _, payload in read_all(spool.directory)] == [p for p in payloads if p]


def test_reader_goes_on_where_it_stopped(spool):
    """A reader at the end sees what comes later, over a roll of segments too."""
    reader = SpoolReader(spool.directory)
    assert reader.read(10, 1 << 20) == (1, [], b"")
    for number in range(1, 400):
        spool.append(b"%d" % number + b"x" * 30)
        assert reader.read(10, 1 << 20)[0] == number
    reader.close()


def test_segment_that_is_filled_while_it_is_looked_at_is_read_whole(spool, monkeypatch):
    """The writer goes on between two looks of a reader, and seals the segment."""
    look = SegmentReader.markers
    written = []

    def look_and_be_late(segment, start, stop):
        found = look(segment, start, stop)
        while len(written) < 100:
            written.append(b"%d" % len(written))
            spool.append(written[-1])
        return found

    spool.append(b"first")
    monkeypatch.setattr(SegmentReader, "markers", look_and_be_late)
    assert [payload for _, payload in read_all(spool.directory)] == [b"first", *written]


def test_reader_seeks_to_any_number(spool):
    """Resending starts anywhere; below the oldest it starts there."""
    for payload in numbered(300, 30):
        spool.append(payload)
    reader = SpoolReader(spool.directory)
    for number in (300, 1, 150, 2):
        reader.seek(number)
        assert reader.read(1, 1 << 20) == (number, [numbered(300, 30)[number - 1]], b"")
    free_acknowledged(spool.directory, 200)
    reader.seek(1)
    oldest = reader.oldest()
    assert 1 < oldest <= 201
    assert reader.read(1, 1 << 20)[0] == oldest
    reader.close()


def test_segments_are_freed_on_acknowledgement(spool):
    """Files whose records are all acknowledged go; what is not acknowledged stays."""
    for payload in numbered(300, 30):
        spool.append(payload)
    before = len(segments(spool.directory))
    free_acknowledged(spool.directory, 299)
    assert len(segments(spool.directory)) == 1 < before
    assert read_all(spool.directory)[-1][0] == 300


def test_spool_is_removed_at_a_clean_close(tmp_path):
    """Where all is acknowledged nothing is left; where not, all is."""
    for name, acked in (("done", 3), ("open", 2)):
        writer = SpoolWriter(tmp_path / name, IDENTITY)
        for payload in numbered(3):
            writer.append(payload)
        writer.state.acked = acked
        writer.close()
    assert not (tmp_path / "done").exists()
    assert len(read_all(tmp_path / "open")) == 3


def test_spool_is_private(spool):
    """Records may hold anything: nobody else reads them."""
    assert stat.S_IMODE(spool.directory.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o177 == 0 for path in spool.directory.glob("*.seg"))


def test_spool_is_locked_while_its_writer_lives(tmp_path):
    """Others can tell a live client from one that is gone."""
    writer = SpoolWriter(tmp_path / "c", IDENTITY)
    with pytest.raises(BlockingIOError):
        lock_spool(writer.directory)
    writer.append(b"x")
    writer.close()
    os.close(lock_spool(tmp_path / "c"))


def test_new_spool_waits_for_who_looks_whether_it_was_left(tmp_path, monkeypatch):
    """One who lists spools holds its lock for a moment, right after the lock was made."""
    make = os.open
    lookers = []

    def make_and_be_looked_at(path, *arguments):
        descriptor = make(path, *arguments)
        if str(path).endswith("lock") and not lookers:
            lookers.append(make(path, os.O_RDWR))
            fcntl.flock(lookers[0], fcntl.LOCK_EX)
            threading.Timer(0.1, os.close, lookers).start()
        return descriptor

    monkeypatch.setattr(os, "open", make_and_be_looked_at)
    writer = SpoolWriter(tmp_path / "c", IDENTITY)
    assert writer.append(b"x")
    assert lookers
    writer.close()


def test_threads_share_a_spool_without_loss(spool):
    """Each record of each thread is there once, in its thread's order."""

    def write(name):
        for number in range(500):
            assert spool.append(b"%s %d" % (name, number))

    threads = [threading.Thread(target=write, args=(name,)) for name in (b"a", b"b", b"c", b"d")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [payload.split() for _, payload in read_all(spool.directory)]
    for name in (b"a", b"b", b"c", b"d"):
        assert [int(number) for owner, number in found if owner == name] == list(range(500))


def test_append_inside_an_append_is_kept(spool):
    """A signal handler may emit while the main thread is in the midst of it."""
    interrupted, is_inside = [], []

    def handler(*_):
        if len(interrupted) < 200 and not is_inside:  # one at a time: they are numbered
            is_inside.append(True)
            interrupted.append(spool.append(b"handler %d" % len(interrupted)))
            is_inside.clear()

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        for payload in numbered(20_000):
            assert spool.append(payload)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    found = [payload for _, payload in read_all(spool.directory)]
    assert all(interrupted)
    assert [p for p in found if p.startswith(b"handler")] == [
        b"handler %d" % n for n in range(len(interrupted))
    ]
    assert [p for p in found if not p.startswith(b"handler")] == numbered(20_000)


def test_exception_in_the_midst_of_an_append_breaks_nothing(spool):
    """After a Ctrl-C anywhere in an append the numbers go on without a gap, and what returned is there."""

    class Interruption(Exception):
        pass

    armed = []

    def handler(*_):
        if armed:
            raise Interruption

    returned = []
    interruptions = 0
    before = signal.signal(signal.SIGALRM, handler)
    try:
        for number in range(8000):
            signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 4e-5))
            try:
                armed.append(True)
                spool.append(b"%d" % number)
                armed.clear()
                returned.append(number)
            except Interruption:
                armed.clear()
                interruptions += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert interruptions > 100
    spool.append(b"-1")
    found = read_all(spool.directory)
    assert [number for number, _ in found] == list(range(1, len(found) + 1))
    assert found[-1] == (spool.head, b"-1")
    there = [int(payload) for _, payload in found]
    assert sorted(set(there)) == sorted(there)
    assert set(returned) <= set(there)


LIST = """
import sys
from pathlib import Path
from optiprov.capture.leftover import waiting_clients
print("listing", flush=True)
while True:
    waiting_clients(Path(sys.argv[1]))
"""


def test_spool_is_gone_though_others_list_it_while_it_closes(start_python, tmp_path):
    """One who looks whether a client lives opens its lock, also in the midst of the removal."""
    listing = [start_python(LIST, tmp_path / "spools") for _ in range(2)]
    for process in listing:
        assert process.stdout.readline() == "listing\n"
    for number in range(500):
        writer = SpoolWriter(tmp_path / "spools" / f"{number:016x}", IDENTITY, segment_bytes=4096)
        writer.append(b"x")
        writer.state.acked = 1
        writer.close()
        assert writer.state.counters.closed
    for process in listing:
        assert process.poll() is None, process.stderr.read()
    assert list((tmp_path / "spools").iterdir()) == []


def test_bare_directory_of_a_killed_client_is_removed(tmp_path):
    """Killed between its last two steps; what is being made at this moment, or is no client's, stays."""
    old, new, other = (tmp_path / name for name in ("0" * 16, "1" * 16, "data"))
    for directory in (old, new, other):
        directory.mkdir()
    for directory in (old, other):
        os.utime(directory, (0, 0))
    assert send_leftovers(tmp_path, BrokerAddress("127.0.0.1", 9), timeout_s=0) == []
    assert sorted(tmp_path.iterdir()) == [new, other]


EMIT = """
import os, sys
from pathlib import Path
from optiprov.capture.spool import SpoolWriter
spool = SpoolWriter(Path(sys.argv[1]), {"client": "c"}, segment_bytes=8192)
number = 0
while True:
    number += 1
    assert spool.append(b"%d" % number + b"x" * (number % 50))
    os.write(1, b"%d\\n" % number)
"""


@pytest.mark.parametrize("seed", range(6))
def test_record_is_in_the_spool_once_its_append_returned_after_a_kill(tmp_path, seed):
    """SIGKILL at a random moment: what returned is there exactly once and in order."""
    process = subprocess.Popen([sys.executable, "-c", EMIT, tmp_path / "c"], stdout=subprocess.PIPE)
    lines = random.Random(seed).randrange(1, 4000)
    for _ in range(lines):
        last = int(process.stdout.readline())
    process.kill()
    rest = process.stdout.read().split(b"\n")[:-1]
    process.wait()
    process.stdout.close()
    last = int(rest[-1]) if rest else last
    found = read_all(tmp_path / "c")
    assert [number for number, _ in found] == list(range(1, len(found) + 1))
    assert [int(payload.rstrip(b"x")) for _, payload in found] == list(range(1, len(found) + 1))
    assert last <= len(found) <= last + 1
    state = SpoolState(tmp_path / "c" / "state")
    assert 0 <= state.head <= len(found) == last_number(tmp_path / "c")
    state.close()


FILL = """
import sys
from pathlib import Path
from optiprov.capture.spool import SpoolWriter
root = Path(sys.argv[1])
spool = SpoolWriter(root / "c", {"client": "c"}, segment_bytes=65536)
outcomes = [spool.append(b"x" * 1000) for _ in range(2000)]
kept = sum(outcomes)
print(kept, spool.state.lost)
(root / "ballast").unlink()
assert spool.append(b"after")
print(spool.state.lost, spool.head)
sys.stdout.flush()
sys.stdin.read()
"""


@pytest.fixture
def tiny_disk(tmp_path):
    """Prefix of a command that runs it with a file system of 1 MB at tmp_path/disk."""
    disk = tmp_path / "disk"
    disk.mkdir()
    ballast = f"dd if=/dev/zero of={disk}/ballast bs=1k count=200 status=none"
    script = f"mount -t tmpfs -o size=1m none {disk} && {ballast}"
    return [*require_mounts(), "sh", "-c", script + ' && exec "$@"', "sh"], disk


READ = """
import sys
from pathlib import Path
from optiprov.wire import BrokerAddress, decode_record
from tests.faults.filesystem import require_mounts
sys.path.insert(0, sys.argv[2])
from tests.capture.test_spool import read_all
found = read_all(Path(sys.argv[1]) / "c")
print(len(found), decode_record(found[-2][1]).record_count, found[-1][1].decode())
"""


def test_full_disk_leaves_a_counted_tombstone(tiny_disk):
    """No SIGBUS; what found no room is counted in one record as soon as there is room again."""
    prefix, disk = tiny_disk
    root = str(Path(__file__).parents[2])
    code = FILL.replace("sys.stdin.read()", f"sys.argv = ['', sys.argv[1], {root!r}]") + READ
    result = subprocess.run([*prefix, sys.executable, "-c", code, disk], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    numbers = result.stdout.split()
    kept, lost = int(numbers[0]), int(numbers[1])
    assert kept + lost == 2000
    assert 300 < kept < 1000
    assert numbers[2:] == ["0", str(kept + 2), str(kept + 2), str(lost), "after"]


def test_tombstone_says_how_many(spool):
    """What is counted while the disk is full becomes a Lost record."""
    spool.append(b"first")
    spool.state.lost = 5
    spool.count_lost()
    assert decode_record(read_all(spool.directory)[-1][1]) == Lost(5, NO_ROOM)
    assert spool.state.lost == 0


def test_spool_leaves_nothing_where_it_cannot_be_made(tmp_path):
    """A directory that cannot hold a spool raises OSError, and no lock stays behind."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):  # noqa: PT011 - which one depends on the system
        SpoolWriter(tmp_path / "file" / "c", IDENTITY)
