"""Whatever arrives: it is rejected and counted, the stream goes on, and the service stays up and small."""

import random
import sys
from collections import Counter

import psutil
import pytest
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from optiprov.capture import Client, Settings
from optiprov.errors import WireError
from optiprov.records import Annotation
from optiprov.store.remote import RemoteProvenance
from optiprov.store.values import clean_text
from optiprov.wire import BrokerAddress, decode_batch
from tests.serve.fuzzing import BOMB, Fuzzer, good_messages
from tests.waiting import PATIENCE_S, wait_until

_WINDOW = 500  # messages under way
_FLAT_BYTES = 64 << 20


def topic_of(message):
    """Where a client would publish a message; anything that is none of a client, to one of the fuzz."""
    try:
        return f"optiprov/records/fuzz/fuzz/{decode_batch(message).header.client}"
    except WireError:
        return "optiprov/records/fuzz/fuzz"


def refusal_of(message):
    """Return why a message is no batch, as it is kept; None where it is one."""
    try:
        decode_batch(message)
    except WireError as error:
        return clean_text(str(error))
    return None


class Sender:
    """Publishes messages, a bounded number of them at a time.

    Attributes:
        refusals: how often which reason has to be kept, of the messages that are no batches.
    """

    def __init__(self, service):
        self.refusals = Counter()
        self._mqtt = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._mqtt.max_inflight_messages_set(_WINDOW)
        self._mqtt.connect("127.0.0.1", service.mqtt_port)
        self._mqtt.loop_start()

    def send(self, messages):
        """Publish messages and wait until the broker has them."""
        under_way = []
        for message in messages:
            if reason := refusal_of(message):
                self.refusals[reason] += 1
            under_way.append(self._mqtt.publish(topic_of(message), message, qos=1))
            if len(under_way) >= _WINDOW:
                under_way.pop(0).wait_for_publish(PATIENCE_S)
        for one in under_way:
            one.wait_for_publish(PATIENCE_S)

    def close(self):
        """Disconnect."""
        self._mqtt.disconnect()
        self._mqtt.loop_stop()


@pytest.fixture
def fuzzed(start_service, tmp_path):
    """A service, an application that sends to it beside the fuzz, and the fuzz's sender."""
    service = start_service()
    sender = Sender(service)
    client = Client(Settings(tmp_path / "spool", BrokerAddress.parse(service.mqtt), flush_timeout_s=10))
    yield service, client, sender
    client.close()
    sender.close()


def emit(client, number):
    """Emit a record whose number tells it from others."""
    client.emit(Annotation("run", client.id, "good", "n", number, 1, None))


def check(service, client, count, sender, seed):
    """Check that all good records are stored once and in order, and that the rest is accounted for.

    Each message that is no batch is kept with its reason, as often as it came.
    """
    provenance = RemoteProvenance(service.http)
    wait_until(lambda: client.flush(5))
    stored = provenance.sql(
        "SELECT value FROM prov.annotation WHERE namespace = 'good' AND target = ?", (client.id,)
    )
    assert stored["value"].astype(int).tolist() == list(range(count)), f"seed {seed}"
    health = provenance.health()
    assert health["status"] == "ok"
    kept = "SELECT count(*) AS n, count(CASE WHEN reason <> '' THEN 1 END) AS told FROM prov.rejected"
    wait_until(lambda: provenance.sql(kept)["n"][0] == provenance.health()["rejected"])
    assert provenance.sql(kept).eval("n == told").all()

    def refused():
        reasons = "SELECT reason, count(*) AS n FROM prov.rejected WHERE client_id = '' GROUP BY reason"
        return Counter({row.reason: row.n for row in provenance.sql(reasons).itertuples()})

    wait_until(lambda: not sender.refusals - refused())
    more = refused() - sender.refusals
    assert not [reason for reason in more if reason in sender.refusals], f"seed {seed}: twice: {more}"
    assert client.lost == 0


def test_good_messages_are_good():
    """What the fuzz starts from: changing it is what makes it wrong."""
    assert [len(decode_batch(message).records) for message in good_messages()] == [15, 40, 1, 0, 42]


def test_mutated_truncated_and_random_messages_stop_nothing(fuzzed):
    """Three thousand of them, beside an application that loses nothing."""
    service, client, sender = fuzzed
    seed = random.randrange(10**6)
    fuzzer = Fuzzer(seed)
    for number in range(30):
        emit(client, number)
        sender.send(fuzzer.message() for _ in range(100))
    check(service, client, 30, sender, seed)
    assert sender.refusals.total() > 1000, f"seed {seed}"
    assert service.process.poll() is None


def test_oversized_messages_stop_nothing(fuzzed):
    """A text that decompresses to more than any batch has, and messages of megabytes of garbage."""
    service, client, sender = fuzzed
    emit(client, 0)
    sender.send([BOMB, b"OP\x01\x00" + b"[" * (8 << 20), b"x" * (8 << 20), BOMB])
    emit(client, 1)
    check(service, client, 2, sender, "none")
    reasons = RemoteProvenance(service.http).sql("SELECT reason, length(payload) AS n FROM prov.rejected")
    xs, no_header, *bombs = sorted(reasons["reason"])
    assert xs == "a batch starts with b'OP\\x01', got b'xxx'"
    assert no_header.startswith("the batch has no header: ")
    assert len(bombs) == 2
    assert all("larger than 67108864 bytes" in one for one in bombs)
    assert reasons["n"].max() <= 65_536 * 4


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_a_million_messages_leave_the_service_up_and_its_memory_flat(fuzzed):
    """Over the last nine tenths it grows by less than 64 MiB.

    What the engine holds of the rows it has stored, one for each message, is not counted: it is a cache with
    a limit of its own.
    """
    service, client, sender = fuzzed
    seed = random.randrange(10**6)
    fuzzer = Fuzzer(seed)
    sizes = []
    provenance = RemoteProvenance(service.http)
    for number in range(100):
        emit(client, number)
        sender.send(fuzzer.message() for _ in range(10_000))
        wait_until(lambda: client.flush(5))
        resident = psutil.Process(service.process.pid).memory_info().rss
        cached = int(provenance.sql("SELECT sum(memory_usage_bytes) AS n FROM duckdb_memory()")["n"][0])
        sizes.append(resident - cached)
        sys.stdout.write(
            f"{(number + 1) * 10_000} messages, {resident >> 20} MiB, of which cached {cached >> 20}\n"
        )
    check(service, client, 100, sender, seed)
    assert service.process.poll() is None
    assert sizes[-1] - max(sizes[:10]) < _FLAT_BYTES, f"seed {seed}: {sizes}"
