"""Disks that are full: that of the spool, and that of the store."""

import time

import pytest

from optiprov.capture import send_leftovers
from optiprov.capture.spool import NO_ROOM
from tests.faults.filesystem import TinyFilesystem
from tests.faults.oracle import check_exactly_once, promised, stored
from tests.faults.system import DELIVERY_S, System

MEGABYTE = 1 << 20


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


def check_kept_or_counted(system):
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
    lost, numbers = check_kept_or_counted(system)
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
    lost, numbers = check_kept_or_counted(system)
    assert lost == int(refused)
    assert numbers == list(range(len(numbers)))


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
