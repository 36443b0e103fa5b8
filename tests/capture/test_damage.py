"""Damaged spools: what can be read is sent, what cannot is counted, and nothing waits for ever."""

import json
import os
import random
import time

import pytest

from optiprov import connect
from optiprov.capture import Client, Settings, send_leftovers
from optiprov.capture.segment import segments
from optiprov.capture.spool import SpoolWriter
from optiprov.records import Annotation
from optiprov.wire import BrokerAddress, encode_record
from tests.waiting import PATIENCE_S

RECORDS = 300


def leave(root, client):
    """Leave a spool of an ended client, of several segments; return its directory."""
    identity = {"client": client, "first": 1, "oldest": 1, "host": "h", "pid": 1, "user": "u"}
    identity |= {"trial": None, "study": None, "campaign": None, "topic": ""}
    writer = SpoolWriter(root / client, identity, segment_bytes=4096)
    for number in range(1, RECORDS + 1):
        note = Annotation("run", client, "", str(number), "x" * 30, number, None)
        assert writer.append(encode_record(note))
    writer.close()
    assert len(segments(root / client)) > 4
    return root / client


def overwrite(path, offset, content):
    """Write over a part of a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def check_delivered(service, root, client):
    """Everything is sent: each record is stored once and in order, or counted."""
    assert send_leftovers(root, BrokerAddress.parse(service.mqtt), timeout_s=PATIENCE_S) == []
    ask = connect(service.http)
    keys = ask.sql("SELECT key FROM prov.annotation WHERE target = ?", [client])["key"].astype(int).tolist()
    lost = ask.sql("SELECT record_count FROM prov.lost WHERE client_id = ?", [client])["record_count"].sum()
    rejected = ask.sql("SELECT count(*) AS n FROM prov.rejected WHERE client_id = ?", [client])["n"][0]
    assert keys == sorted(set(keys))
    assert len(keys) + lost + rejected >= RECORDS
    return len(keys)


@pytest.mark.parametrize("which", [0, 2, -1])
@pytest.mark.parametrize("length", [b"\xff\xff\xff\x7f", b"\x00\x00\x00\x00", b"\xff\xff\xff\xff"])
def test_damaged_length_costs_the_rest_of_its_segment(tmp_path, shared_service, which, length):
    """The segments behind it are sent."""
    client = os.urandom(8).hex()
    directory = leave(tmp_path, client)
    overwrite(segments(directory)[which][1], 16, length)
    assert check_delivered(shared_service, tmp_path, client) > RECORDS / 2


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"client": 7}', b"\xff\xfe", b'{"client": "x", "odd": 1}']
)
def test_damaged_identity_is_made_up_for(tmp_path, shared_service, content):
    """The records are sent under the client's id, which the directory has."""
    client = os.urandom(8).hex()
    (leave(tmp_path, client) / "client.json").write_bytes(content)
    assert check_delivered(shared_service, tmp_path, client) == RECORDS


@pytest.mark.parametrize("seed", range(8))
def test_random_bytes_in_any_file_stop_nobody(tmp_path, shared_service, seed):
    """Neither the sender nor a client that starts beside it; other spools are sent."""
    chance = random.Random(seed)
    damaged = leave(tmp_path, os.urandom(8).hex())
    for path in chance.sample(sorted(damaged.iterdir()), 3):
        size = path.stat().st_size
        overwrite(path, chance.randrange(max(1, size)), chance.randbytes(chance.randrange(1, 200)))
    whole = os.urandom(8).hex()
    leave(tmp_path, whole)
    broker = BrokerAddress.parse(shared_service.mqtt)
    send_leftovers(tmp_path, broker, timeout_s=5)
    client = Client(Settings(tmp_path, broker))
    client.emit(Annotation("run", "own", "", "k", seed, 1, None))
    assert client.flush(PATIENCE_S)
    client.close()
    stored = connect(shared_service.http).sql("SELECT key FROM prov.annotation WHERE target = ?", [whole])
    assert stored["key"].astype(int).tolist() == list(range(1, RECORDS + 1))


def test_half_a_spool_is_removed_once_it_is_old(tmp_path):
    """What a kill left while a spool was made or removed; a young one may be in the making."""
    for name, age_s in (("young", 0), ("old", 120)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "lock").touch()
        (tmp_path / name / "client.json.new").write_text(json.dumps({"cl": 1})[:4])
        then = time.time() - age_s
        os.utime(tmp_path / name, (then, then))
    send_leftovers(tmp_path, BrokerAddress("127.0.0.1", 9), timeout_s=1)
    assert [path.name for path in tmp_path.iterdir()] == ["young"]
