"""Garbage in the files of a spool: what is readable is delivered, what is not is counted, nothing stalls."""

import os
import random
import struct

import pytest

import optiprov
from optiprov.capture import Client, Settings, send_leftovers
from optiprov.capture.recovery import open_state
from optiprov.capture.segment import SegmentWriter, segments
from optiprov.capture.spool import SpoolWriter
from optiprov.capture.spool_reader import SpoolReader
from optiprov.records import Annotation, Lost
from optiprov.wire import SLOT_BYTES, BrokerAddress, decode_record, encode_record
from optiprov.wire.slots import ROW_BYTES


def note(number):
    """Return a record that is told from others by its key."""
    return Annotation("run", "r", "", str(number), number, 1, None)


def leave(root, client, count=400):
    """Leave the spool of a client that was killed, with several segments; return its directory."""
    writer = SpoolWriter(root / client, {"client": client}, segment_bytes=4096)
    for number in range(1, count + 1):
        assert writer.append(encode_record(note(number)))
    writer.forget()
    return root / client


def read_all(directory):
    """Return the (number, record) of all that can be read."""
    reader, found = SpoolReader(directory), []
    while True:
        first, records, _ = reader.read(100, 1 << 20)
        if not records:
            reader.close()
            return found
        found += [(first + index, decode_record(record)) for index, record in enumerate(records)]


def overwrite_slot(path, index, place, value):
    """Write a word over a part of a record's slot."""
    (count,) = struct.unpack_from("<I", path.read_bytes(), 16)
    with path.open("r+b") as file:
        file.seek(SegmentWriter.size(count, 0) - (count - index) * SLOT_BYTES + place)
        file.write(struct.pack("<Q", value))


def check(store, count):
    """Each of a client's records is stored once with what it was, or counted as lost."""
    kept = store.sql("SELECT key FROM prov.annotation")["key"].astype(int).tolist()
    lost = int(store.sql("SELECT COALESCE(sum(record_count), 0) AS n FROM prov.lost")["n"][0])
    assert kept == sorted(set(kept))
    assert len(kept) + lost == count
    return len(kept)


@pytest.mark.parametrize("place", [0, 8, 16, ROW_BYTES])
@pytest.mark.parametrize("value", [0, 5, 0x7FFFFFFF, 2**64 - 1])
def test_garbage_in_a_slot_loses_its_record_alone(tmp_path, place, value):
    """Where a payload lies, its length, its checksum, the marker: all numbers come, in order."""
    directory = leave(tmp_path, "c")
    first, path = segments(directory)[1]
    overwrite_slot(path, 3, place, value)
    found = read_all(directory)
    assert [number for number, _ in found] == list(range(1, 401))
    lost = [number for number, record in found if record != note(number)]
    assert lost == [first + 3]
    assert isinstance(dict(found)[first + 3], Lost)


@pytest.mark.parametrize("count", [0, 5, 10**6, 2**32 - 1])
def test_garbage_number_of_slots_loses_no_more_than_its_segment(tmp_path, count):
    """All numbers come, in order; those of other segments with their records."""
    directory = leave(tmp_path, "c")
    held = segments(directory)
    with held[1][1].open("r+b") as file:
        file.seek(16)
        file.write(struct.pack("<I", count))
    found = read_all(directory)
    assert [number for number, _ in found] == list(range(1, 401))
    whole = {number for number, record in found if isinstance(record, Annotation)}
    assert {number for number in range(1, 401) if not held[1][0] <= number < held[2][0]} <= whole
    assert all(record == note(number) for number, record in found if number in whole)


def test_segment_that_is_garbage_is_counted(start_service, tmp_path):
    """A service stores what the others hold, and counts exactly what is missing, at the end too."""
    directory = leave(tmp_path / "spool", "c")
    held = segments(directory)
    held[1][1].write_bytes(os.urandom(4096))
    held[-1][1].write_bytes(os.urandom(4096))
    service = start_service()
    assert send_leftovers(tmp_path / "spool", BrokerAddress.parse(service.mqtt)) == []
    kept = check(optiprov.connect(service.http), 400)
    assert kept == 400 - (held[2][0] - held[1][0]) - (401 - held[-1][0])
    assert not directory.exists()


@pytest.mark.parametrize("name", ["client.json", "state"])
def test_damaged_identity_or_state_loses_nothing(start_service, tmp_path, name):
    """The client is named by its directory, and all is sent again from the oldest segment on."""
    directory = leave(tmp_path / "spool", "c")
    (directory / name).write_bytes(b'{"client": "c", "ho' if name == "client.json" else os.urandom(4096))
    service = start_service()
    assert send_leftovers(tmp_path / "spool", BrokerAddress.parse(service.mqtt)) == []
    store = optiprov.connect(service.http)
    assert check(store, 400) == 400
    assert store.sql("SELECT client_id FROM prov.client")["client_id"].tolist() == ["c"]


def test_random_garbage_in_any_file_stops_neither_reader_nor_recovery(tmp_path):
    """Bytes overwritten or cut off anywhere: no exception, and no record but those written, in order."""
    seed = random.SystemRandom().randrange(10**6)
    choices = random.Random(seed)
    for turn in range(60):
        directory = leave(tmp_path, f"c{turn}", 200)
        for path in choices.sample(sorted(directory.iterdir()), 2):
            held = bytearray(path.read_bytes())
            for _ in range(choices.randint(1, 20)):
                if held:
                    held[choices.randrange(len(held))] = choices.randrange(256)
            path.write_bytes(bytes(held[: choices.choice([len(held), choices.randrange(len(held) + 1)])]))
        open_state(directory).close()
        found = read_all(directory)
        assert [number for number, _ in found] == list(range(1, len(found) + 1)), f"seed {seed}, {turn}"
        # A garbage length hides frames, so that what follows in its segment has lower numbers than it had.
        kept = [int(record.key) for _, record in found if not isinstance(record, Lost)]
        assert kept == sorted(set(kept)), f"seed {seed}, {turn}"
        assert all(record in map(note, kept) for _, record in found if not isinstance(record, Lost))


def test_closed_client_counts_what_it_is_given(tmp_path):
    """Closing twice is harmless; what comes later is counted, and raises nothing."""
    client = Client(Settings(tmp_path / "spool"))
    client.emit(note(1))
    client.close()
    client.close()
    client.emit(note(2))
    assert client.lost == 1
    assert not client.flush(0.1)
