"""From a client's `emit` to the store and back, over each broker alike."""

import contextlib
import os
import socket
import threading

import psutil
import pytest

from optiprov.capture import Client
from optiprov.records import Annotation
from optiprov.serve.lane import Lane
from optiprov.store.remote import RemoteProvenance
from optiprov.wire import BrokerAddress, lane_of
from optiprov.wire.topics import shard
from tests.serve.brokers import Authority, require_ipv6
from tests.serve.conftest import USERS, make_transport
from tests.waiting import PATIENCE_S, wait_until

# Where the handshake fails, paho leaves the socket to the garbage collector, which closes it.
_PAHO_DROPS_SOCKETS = pytest.mark.filterwarnings(
    "ignore:unclosed <ssl.SSLSocket", "ignore:Exception ignored in. <ssl.SSLSocket"
)


def note(client, number, value=None):
    """Return a record that says which client's it is, and which."""
    return Annotation("run", client.id, "", str(number), number if value is None else value, 1, None)


def emit(client, count):
    """Emit records with the numbers from 0 on and wait until they are acknowledged."""
    for number in range(count):
        client.emit(note(client, number))
    assert client.flush(PATIENCE_S)


def stored(transport, client):
    """Return the numbers that are stored of a client, in the order of their commit."""
    frame = RemoteProvenance(transport.service.http).sql(
        "SELECT key FROM prov.annotation WHERE target = ?", (client.id,)
    )
    return [int(key) for key in frame["key"]]


def test_emitted_is_stored_and_acknowledged(plain, client_at):
    """In order, once; the acknowledgement frees the spool."""
    client = Client(client_at(plain.address).settings)
    emit(client, 3000)
    assert stored(plain, client) == list(range(3000))
    client.close()
    assert not client.spool_directory.exists()


def test_big_messages_arrive_whole(plain, client_at):
    """A value of 10 MB, which deflates badly, among small ones."""
    client = client_at(plain.address)
    value = os.urandom(5_000_000).hex()
    client.emit(note(client, 0))
    client.emit(note(client, 1, value))
    client.emit(note(client, 2))
    assert client.flush(PATIENCE_S)
    sql = "SELECT length(value) AS size FROM prov.annotation WHERE target = ? AND key = '1'"
    assert RemoteProvenance(plain.service.http).sql(sql, (client.id,))["size"][0] >= len(value)
    assert stored(plain, client) == [0, 1, 2]


def test_clients_go_on_after_the_broker_was_killed(plain, client_at):
    """What was emitted while it was gone is stored when it is back, all of it once."""
    client = client_at(plain.address)
    emit(client, 10)
    if plain.mosquitto:
        plain.mosquitto.kill()
    else:
        for child in psutil.Process(plain.service.process.pid).children():
            child.kill()
    for number in range(10, 500):
        client.emit(note(client, number))
    if plain.mosquitto:
        plain.mosquitto.start()
    wait_until(lambda: client.flush(1))
    assert stored(plain, client) == list(range(500))


def test_garbage_at_the_port_stops_nothing(plain, client_at):
    """Random bytes, a truncated packet, and connections that say nothing."""
    client = client_at(plain.address)
    open_ones = []
    for payload in (
        b"",
        b"\x00" * 100,
        os.urandom(20_000),
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x10\xff\xff\xff\x7f",
    ):
        connection = socket.create_connection((plain.address.host, plain.address.port), 5)
        open_ones.append(connection)
        with contextlib.suppress(OSError):  # it has had enough
            connection.sendall(payload)
    emit(client, 100)
    for connection in open_ones:
        connection.close()
    assert stored(plain, client) == list(range(100))
    assert RemoteProvenance(plain.service.http).health()["status"] == "ok"


def test_clients_with_credentials_use_every_lane(secured, client_at):
    """Users, TLS, a prefix where the broker is shared, and three lanes: each client's records in order."""
    provenance = RemoteProvenance(secured.service.http)
    before = provenance.health()["messages_by_lane"]
    clients = []
    while len(clients) < 8 or {lane_of(one.id, 3) for one in clients} != {0, 1, 2}:
        clients.append(client_at(secured.address))
    threads = [threading.Thread(target=emit, args=(client, 500)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for client in clients:
        assert stored(secured, client) == list(range(500))
    after = provenance.health()["messages_by_lane"]
    assert len(after) == 3
    assert [lane for lane in range(3) if after[lane] <= before[lane]] == []


@pytest.mark.parametrize("wrong", ["password", "user", "nobody"])
def test_refused_credentials_are_a_clear_warning(secured, client_at, caplog, wrong):
    """Nothing is sent, nothing lost, the application goes on; the warning has no password."""
    changes = {
        "password": {"password": "not it, but secret"},
        "user": {"user": "stranger"},
        "nobody": {"user": None, "password": None},
    }
    client = client_at(secured.address._replace(**changes[wrong]))
    client.emit(note(client, 0))
    assert not client.flush(PATIENCE_S)
    assert f"broker {secured.address.url}" in caplog.text
    assert "refuses the connection" in caplog.text or "another user or password" in caplog.text
    assert str(client.spool_directory) in caplog.text
    assert not [secret for secret in (*USERS.values(), "not it, but secret") if secret in caplog.text]


@_PAHO_DROPS_SOCKETS
def test_certificate_of_another_ca_is_refused(secured, client_at, caplog, tmp_path):
    """Whoever stands between gets nothing: the client does not speak to it."""
    stranger = Authority(tmp_path)
    client = client_at(secured.address._replace(ca=str(stranger.certificate)))
    client.emit(note(client, 0))
    assert not client.flush(PATIENCE_S)
    assert "no TLS connection" in caplog.text
    assert "(is the CA right, and does the broker speak TLS at this port?); provenance is" in caplog.text


@_PAHO_DROPS_SOCKETS
def test_certificate_of_another_host_is_refused(secured, client_at, caplog):
    """Signed by the right CA, but for other names."""
    client = client_at(secured.address._replace(host="127.0.0.2"))
    client.emit(note(client, 0))
    assert not client.flush(PATIENCE_S)
    assert "no TLS connection" in caplog.text or "no broker answers" in caplog.text


def test_absent_ca_is_a_clear_warning(secured, client_at, caplog, tmp_path):
    """The message names the file and how to give another."""
    client = client_at(secured.address._replace(ca=str(tmp_path / "none.pem")))
    client.emit(note(client, 0))
    assert not client.flush(PATIENCE_S)
    assert str(tmp_path / "none.pem") in caplog.text
    assert "OPTIPROV_BROKER_CA" in caplog.text


@pytest.mark.parametrize("kind", ["embedded", "mosquitto"])
def test_ipv6_is_spoken(kind, client_at, tmp_path):
    """Broker and HTTP at ::1."""
    require_ipv6()
    transport = make_transport(kind, tmp_path, host="::1")
    try:
        assert f"//[::1]:{transport.address.port}" in transport.service.mqtt
        client = client_at(transport.address)
        emit(client, 50)
        assert stored(transport, client) == list(range(50))
    finally:
        transport.close()


@pytest.mark.parametrize("who", ["client", "service"])
def test_mqtt_is_spoken_in_version_3_1_1(who, client_at):
    """The first packet of a connection says so: any broker of the last ten years understands it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_S)
        address = BrokerAddress("127.0.0.1", listener.getsockname()[1])
        lane = None
        if who == "client":
            client = client_at(address)
            client.emit(note(client, 0))
        else:
            lane = Lane(0, 1, address, None, lambda: None)
            lane.start()
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as received:
            packet, length = received.read(2)
            assert (packet, length < 0x80) == (0x10, True)  # CONNECT, of which less than 128 bytes follow
            assert received.read(7) == b"\x00\x04MQTT\x04"
        if lane:
            lane.stop()


def test_prefix_separates_two_stores_of_one_broker(plain, start_service, client_at):
    """Each service stores what is sent below its prefix, and acknowledges only that."""
    address = plain.address._replace(prefix="other")
    other = start_service("--broker", address.url)
    assert other.mqtt == address.url
    here, there = client_at(plain.address), client_at(address)
    emit(here, 20)
    emit(there, 30)
    assert stored(plain, here) == list(range(20))
    assert stored(plain, there) == []
    frame = RemoteProvenance(other.http).sql("SELECT DISTINCT target FROM prov.annotation")
    assert list(frame["target"]) == [there.id]


def test_client_below_another_prefix_than_the_service_is_warned(plain, client_at, caplog):
    """Once, with broker, topic and spool: the broker takes all of it, and nobody would ever store it."""
    address = plain.address._replace(prefix="typo")
    client = client_at(address)
    client.emit(note(client, 0))
    assert not client.flush(3)
    assert not client.flush(3)
    (warning,) = [one.getMessage() for one in caplog.records if "no service acknowledges" in one.getMessage()]
    assert address.url in warning
    assert f"typo/optiprov/records/{shard(client.id):x}/default/{client.id}" in warning
    assert str(client.spool_directory) in warning
    heard = client_at(plain.address)
    emit(heard, 1)
    assert heard.id not in caplog.text
