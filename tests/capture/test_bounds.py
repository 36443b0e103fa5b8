"""The bounds of a spool: what finds no room is counted, and so is what grew too old."""

import os
import time

import pytest

from optiprov.capture import Client, Settings
from optiprov.capture.bounds import Room, expire_spools, spool_bytes
from optiprov.capture.spool import NO_ROOM, SpoolWriter
from optiprov.capture.spool_reader import SpoolReader
from optiprov.capture.spool_state import SpoolState
from optiprov.records import Lost
from optiprov.wire import BrokerAddress, decode_record

DAY_S = 86_400


def write_spool(directory, records, size=100):
    """Leave a spool of an ended client."""
    writer = SpoolWriter(directory, {"client": directory.name}, segment_bytes=4096)
    for number in range(records):
        assert writer.append(b'["lo",0,"%d %s"]' % (number, b"x" * size))
    writer.close()


def make_old(directory, days):
    """Have the segments of a spool look as old."""
    then = time.time() - days * DAY_S
    for path in directory.glob("*.seg"):
        os.utime(path, (then, then))


def test_spool_at_its_bound_counts_and_goes_on_when_there_is_room(tmp_path, caplog):
    """What is there stays; the warning comes well before, and at the bound."""
    write_spool(tmp_path / "other", 30)
    room = Room(tmp_path, 64 << 10)
    writer = SpoolWriter(tmp_path / "own", {"client": "own"}, segment_bytes=4096, take_room=room.take)
    kept = sum(writer.append(b"x" * 1000) for _ in range(200))
    assert 10 < kept < 64
    assert spool_bytes(tmp_path) <= 64 << 10
    assert "is nearly full" in caplog.messages[0]
    assert "is full: new records are counted" in caplog.messages[-1]
    assert writer.state.lost == 200 - kept
    for path in (tmp_path / "other").glob("*.seg"):
        path.unlink()
    time.sleep(1.1)
    assert writer.append(b"after")
    reader = SpoolReader(tmp_path / "own")
    found = []
    while records := reader.read(1000, 1 << 20)[1]:
        found += records
    reader.close()
    assert decode_record(found[-2]) == Lost(200 - kept, NO_ROOM)
    assert found[-1] == b"after"
    writer.close()


def test_client_of_a_small_spool_never_raises(tmp_path):
    """The bound comes from the environment."""
    settings = Settings.from_environment({"OPTIPROV_SPOOL": str(tmp_path), "OPTIPROV_SPOOL_MAX_MB": "2"})
    client = Client(settings)
    for number in range(400):
        client.emit(Lost(0, f"{number}" + "x" * 10_000))
    assert client.lost > 100
    assert spool_bytes(tmp_path) <= 2 << 20
    client.close()
    client.close()


@pytest.mark.parametrize("text", ["", "x", "-1", "nan", "inf"])
def test_bound_that_is_no_number_is_the_default(text):
    """Capture never raises."""
    assert Settings.from_environment({"OPTIPROV_SPOOL_MAX_MB": text}).spool_max_bytes == 2048 << 20


def test_old_spool_is_removed_after_a_warning_and_counted_by_the_store(tmp_path, start_service, caplog):
    """Young ones stay; of an old one the store learns how many records are missing."""
    for name in ("young", "aging", "old"):
        write_spool(tmp_path / "spool" / name, 100)
    make_old(tmp_path / "spool" / "aging", 70)
    make_old(tmp_path / "spool" / "old", 91)
    assert expire_spools(tmp_path / "spool", 90 * DAY_S) == 100
    assert any("100 records" in text and "removed after 90" in text for text in caplog.messages)
    assert not any("young" in text for text in caplog.messages)
    state = SpoolState(tmp_path / "spool" / "old" / "state")
    assert (state.head, state.acked) == (101, 0)
    state.close()
    make_old(tmp_path / "spool" / "old", 200)
    assert expire_spools(tmp_path / "spool", 90 * DAY_S) == 0
    from optiprov import connect
    from optiprov.capture import send_leftovers

    service = start_service()
    for name in ("young", "aging"):  # identities of tests have no header
        for path in (tmp_path / "spool" / name).iterdir():
            path.unlink()
    identity = '{"client":"old","first":1,"oldest":1,"host":"h","pid":1,"user":"u","trial":null,"study":null,'
    (tmp_path / "spool" / "old" / "client.json").write_text(identity + '"campaign":null,"topic":""}')
    assert send_leftovers(tmp_path / "spool", BrokerAddress.parse(service.mqtt)) == []
    lost = connect(service.http).sql("SELECT record_count, reason FROM prov.lost ORDER BY record_count")
    assert lost["record_count"].tolist() == [0, 100]
    assert lost["reason"][0].startswith("removed from the spool after 91 days")
