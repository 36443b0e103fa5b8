"""Disks that are full: that of the spool, and that of the store."""

import random
import shutil
import time

import pytest

from optiprov.capture import send_leftovers
from optiprov.capture.spool import NO_ROOM
from tests.faults.filesystem import TinyFilesystem
from tests.faults.killing import EMITTERS, choose_victims, keep_emitting, kill
from tests.faults.oracle import check_exactly_once, check_kept_or_counted, check_values, promised, stored
from tests.faults.system import DELIVERY_S, System, fault_seed
from tests.waiting import wait_until

MEGABYTE = 1 << 20
SEGMENT_BYTES = 16 << 10


@pytest.fixture
def tiny_filesystem(tmp_path):
    """Makes file systems of a given size."""
    made = []

    def make(size_bytes):
        made.append(TinyFilesystem(tmp_path / "tiny", size_bytes))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def start_system(tmp_path, clean_environment):
    """Starts systems; ended at the end."""
    started = []

    def start(**options):
        started.append(System(tmp_path, "embedded", clean_environment, **options))
        return started[-1]

    yield start
    for system in started:
        system.close()


def check_annotations(system):
    """See to it that each record is stored once and in order, or counted; return how many are counted."""
    (client,) = promised(system.oracle)
    emitted = promised(system.oracle)[client]
    numbers = stored(system.provenance())[client]
    assert numbers == sorted(set(numbers)), "twice, or out of order"
    lost = system.provenance().sql("SELECT client_id, record_count, reason FROM prov.lost")
    assert set(lost["client_id"]) == {client}
    assert set(lost["reason"]) == {NO_ROOM}
    assert len(numbers) + lost["record_count"].sum() == emitted
    return int(lost["record_count"].sum()), numbers


def is_full(path):
    """Whether a disk has no room for one more segment."""
    return shutil.disk_usage(path).free < SEGMENT_BYTES


def test_full_spool_counts_what_it_could_not_keep(tiny_filesystem, start_system):
    """No broker, then 6 MB into 4 MB; once the broker is there, the rest arrives, and what comes after."""
    spool = tiny_filesystem(4 * MEGABYTE)
    system = start_system(filler_bytes=500)
    system.proxy.shut()
    emitter = system.start_emitter(
        6_000, 0, "wait", OPTIPROV_SPOOL=str(spool.path), OPTIPROV_FLUSH_TIMEOUT_S="60"
    )
    _, refused = emitter.stdout.readline().split()
    assert int(refused) > 1000
    system.heal()
    emitter.communicate("go on\n", timeout=DELIVERY_S)
    lost, numbers = check_annotations(system)
    assert lost >= int(refused)
    assert len(numbers) > 1000


def test_killed_with_a_full_spool_is_counted_by_who_sends_it(tiny_filesystem, start_system):
    """SIGKILL while the disk is full: the count lies in the spool, and becomes a tombstone later."""
    spool = tiny_filesystem(4 * MEGABYTE)
    system = start_system(filler_bytes=500)
    system.proxy.shut()
    spool.fill(1 * MEGABYTE)
    emitter = system.start_emitter(6_000, 0, "wait", OPTIPROV_SPOOL=str(spool.path))
    _, refused = emitter.stdout.readline().split()
    emitter.kill()
    emitter.communicate(timeout=10)
    spool.make_room()
    system.heal()
    assert send_leftovers(spool.path, system.address) == []
    lost, numbers = check_annotations(system)
    assert lost == int(refused)
    assert numbers == list(range(len(numbers)))


def test_kills_beside_a_full_spool_leave_each_record_stored_or_counted(tiny_filesystem, start_system):
    """Four emitters fill their disk while nothing gets through, again and again; all that runs is killed.

    Each kill strikes while there is no room, and the network is cut while what is spooled is sent. What
    starts then may find no room even for a spool, and has it elsewhere.
    """
    seed = fault_seed()
    choices = random.Random(seed)
    spool = tiny_filesystem(1 * MEGABYTE).path
    system = start_system(filler_bytes=500, segment_bytes=SEGMENT_BYTES, spool=spool, seed=seed)

    def emit():
        keep_emitting(system, 300, 0.02)

    victims = choose_victims(system, choices, 3)
    for victim in victims:
        system.proxy.shut()
        emit()
        wait_until(lambda: emit() or is_full(spool))
        kill(system, choices, victim, emit)
        system.heal()
        wait_until(lambda: emit() or system.provenance().health()["records"])  # since the service started
        system.proxy.cut()
    system.deliver()
    kept = check_kept_or_counted(system.provenance(), system.oracle, NO_ROOM)
    check_values(system.provenance())
    told = f"seed {seed}, {victims}: {kept}"
    assert len(kept) >= EMITTERS, told
    assert sum(there for there, _ in kept.values()) > 500, told
    assert sum(counted > 0 for _, counted in kept.values()) >= 2, told


@pytest.mark.parametrize(
    ("room_bytes", "ballast_bytes", "filler_bytes", "count", "said"),
    [
        pytest.param(10 * MEGABYTE, 30 * MEGABYTE, 2000, 2700, "the store takes records again", id="log"),
        pytest.param(
            80 * MEGABYTE, 150 * MEGABYTE, 16_000, 2300, "the store has been opened again", id="checkpoint"
        ),
    ],
)
def test_full_store_goes_on_once_there_is_room(
    tiny_filesystem, start_system, room_bytes, ballast_bytes, filler_bytes, count, said
):
    """The service stays, acknowledges nothing meanwhile, and stores each record once.

    Where the log of the database finds no room, the next commit can succeed; where a checkpoint finds none,
    DuckDB refuses everything until the database is opened again.
    """
    disk = tiny_filesystem(room_bytes + ballast_bytes)
    system = start_system(filler_bytes=filler_bytes, store=disk.directory / "p.duckdb", inside=disk.inside)
    disk.fill(ballast_bytes)
    pid = system.service.process.pid
    system.start_emitter(count, 0.01, OPTIPROV_FLUSH_TIMEOUT_S="100")
    wait_for_log(system, "nothing is acknowledged until the store takes records again")
    time.sleep(1.5)  # at least one more attempt fails
    disk.make_room()
    wait_for_log(system, said)
    system.deliver()
    check_exactly_once(system.provenance(), system.oracle)
    assert system.service.process.pid == pid
    assert system.service.process.poll() is None


def wait_for_log(system, text):
    """Wait until the service has logged something."""
    deadline = time.monotonic() + DELIVERY_S
    while text not in system.service.log.read_text():
        assert system.service.process.poll() is None, system.service.log.read_text()
        assert time.monotonic() < deadline, system.service.log.read_text()
        time.sleep(0.1)
