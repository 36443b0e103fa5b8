"""The service as a process: it starts, answers, survives what is done to it, and stops."""

import contextlib
import json
import os
import random
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from http.client import HTTPConnection, HTTPException

import httpx
import psutil
import pytest
from iotcore import Broker
from paho.mqtt import publish

import optiprov
from optiprov.capture import Client, Settings
from optiprov.errors import BarrierTimeout, QueryError, ServiceUnavailable
from optiprov.records import Annotation
from optiprov.serve.broker import free_port
from optiprov.store import service_file
from optiprov.store.remote import RemoteProvenance
from optiprov.wire import BrokerAddress, Header, encode_batch, encode_record
from tests.waiting import PATIENCE_S, least_of, wait_until

EMIT = """
import os, sys, time
from optiprov.capture import get_client
from optiprov.records import Annotation
client = get_client()
print(client.id, flush=True)
for number in range(int(sys.argv[1])):
    client.emit(Annotation("run", client.id, "", "n", number, 1, None))
    if number % 20 == 0:
        time.sleep(0.01)
print(any(client.flush(10) or time.sleep(0.2) for _ in range(100)), flush=True)
"""


@pytest.fixture
def service(start_service):
    """A service on free ports."""
    return start_service()


@pytest.fixture
def new_client(tmp_path):
    """Makes clients of this process that send to a service; closed at the end."""
    made = []

    def make(service):
        made.append(
            Client(Settings(tmp_path / "spool", BrokerAddress.parse(service.mqtt), flush_timeout_s=1))
        )
        return made[-1]

    yield make
    for client in made:
        client.close()


def note(number):
    """Return a record."""
    return Annotation("run", "r", "", "n", number, 1, None)


def numbers_by_client(provenance):
    """Return the numbers of the records that are stored, by client."""
    frame = provenance.sql("SELECT target, value FROM prov.annotation")
    return {client: sorted(map(int, rows["value"])) for client, rows in frame.groupby("target")}


def send_raw(service, payload, topic="optiprov/records/x/y"):
    """Publish a message of any kind."""
    publish.single(topic, payload, qos=1, hostname="127.0.0.1", port=service.mqtt_port)


def run_serve(store, *options):
    """Run a service that is to fail, to its end."""
    command = [sys.executable, "-m", "optiprov.cli", "serve", "--store", str(store), *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def test_addresses_are_printed_and_answered(shared_service):
    """One line of JSON; the same beside the store and from /health."""
    assert json.loads(service_file(shared_service.store).read_text()) == shared_service.addresses
    health = RemoteProvenance(shared_service.http).health()
    assert health["status"] == "ok"
    assert {name: health[name] for name in shared_service.addresses} == shared_service.addresses
    assert shared_service.addresses["pid"] == shared_service.process.pid


def test_service_listens_on_loopback_only(shared_service):
    """Neither HTTP nor the embedded broker can be reached from elsewhere."""
    processes = [
        psutil.Process(shared_service.process.pid),
        *psutil.Process(shared_service.process.pid).children(recursive=True),
    ]
    listening = {
        c.laddr for p in processes for c in p.net_connections("tcp") if c.status == psutil.CONN_LISTEN
    }
    assert {address.port for address in listening} == {shared_service.http_port, shared_service.mqtt_port}
    assert {address.ip for address in listening} == {"127.0.0.1"}


def begin_request(service, path, body):
    """Send a request, whose answer is not waited for."""
    connection = HTTPConnection("127.0.0.1", service.http_port, timeout=PATIENCE_S)
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    return connection


def test_sigterm_stops_cleanly_with_open_connections(service, new_client):
    """Beside a kept-alive connection, requests that take minutes and a client that publishes."""
    client = new_client(service)
    with httpx.Client(base_url=service.http) as http:
        http.get("/health")
        long_query = "SELECT count(*) FROM range(10000000000) a, range(100) b"
        asked = [("/commits", {"after": 10**6, "timeout_s": 300}), ("/sql", {"text": long_query})]
        asked.append(("/barrier", {"heads": {"nobody": 1}, "timeout_s": 300}))
        connections = [begin_request(service, *one) for one in asked]
        httpx.get(f"{service.http}/health")  # when it answers, it has in hand what came before
        for number in range(500):
            client.emit(note(number))
        assert service.stop() == 0
        ended = []
        for connection in connections:
            with contextlib.suppress(HTTPException, OSError), contextlib.closing(connection):
                ended.append(connection.getresponse().status)
    assert ended.count(503) >= 1
    assert ended.count(200) >= 1
    assert not service_file(service.store).exists()
    assert not psutil.pid_exists(service.process.pid)


def test_sigterm_stops_soon_where_nothing_is_open(start_service):
    """There is nothing to wait for."""

    def stop_one():
        service = start_service()
        begun = time.monotonic()
        assert service.stop() == 0
        return time.monotonic() - begun

    assert least_of(stop_one, 2, attempts=5) < 2


def test_signal_right_after_the_start_stops_cleanly(start_service):
    """Whoever reads the line may stop the service at once."""
    service = start_service()
    assert service.stop() == 0
    assert not service_file(service.store).exists()


def test_sigterm_as_the_service_starts_takes_away_what_was_made(tmp_path, clean_environment):
    """While it waits for its broker: that ends, and no temporary directory stays."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    command = [sys.executable, "-m", "optiprov.cli", "serve", "--store", tmp_path / "p.duckdb"]
    with subprocess.Popen(
        [*command, "--mqtt-port", "0", "--http-port", "0"],
        env={**clean_environment, "TMPDIR": str(temporary)},
        stdout=subprocess.DEVNULL,
    ) as service:
        wait_until(lambda: any(temporary.iterdir()))
        children = psutil.Process(service.pid).children()
        service.terminate()
        assert service.wait(PATIENCE_S) == 0
    assert list(temporary.iterdir()) == []
    wait_until(lambda: not any(child.is_running() for child in children))


def test_killed_service_loses_nothing_and_stores_nothing_twice(start_service, start_python):
    """Three clients emit while the service is killed and started again on its ports, three times."""
    service = start_service()
    clients = [start_python(EMIT, 2500, OPTIPROV_BROKER=service.mqtt) for _ in range(3)]
    names = [client.stdout.readline().strip() for client in clients]
    seed = random.randrange(10**6)
    moments = random.Random(seed)
    for _ in range(3):
        time.sleep(moments.uniform(0.05, 0.6))
        service.kill()
        service = start_service(mqtt_port=service.mqtt_port, http_port=service.http_port)
    assert [client.communicate(timeout=PATIENCE_S)[0].strip() for client in clients] == ["True"] * 3, (
        f"seed {seed}"
    )
    stored = numbers_by_client(RemoteProvenance(service.http))
    assert stored == {name: list(range(2500)) for name in names}, f"seed {seed}"


def test_killed_broker_comes_back(service, new_client):
    """The service starts it again on its port; what was emitted meanwhile arrives."""
    client = new_client(service)
    client.emit(note(1))
    assert client.flush(PATIENCE_S)
    (broker,) = psutil.Process(service.process.pid).children()
    broker.kill()
    for number in range(2, 200):
        client.emit(note(number))
    wait_until(lambda: client.flush(1))
    assert numbers_by_client(RemoteProvenance(service.http))["r"] == list(range(1, 200))


def test_garbage_on_every_topic_is_rejected_and_stops_nothing(service, new_client):
    """What is no batch is kept with its reason; acknowledgements of others' making do no harm."""
    client = new_client(service)
    client.emit(note(1))
    assert client.flush(PATIENCE_S)
    for payload in (b"", b"garbage", b"OP\x01\x01garbage", b"OP\x01\x00[]", os.urandom(50_000)):
        send_raw(service, payload)
        send_raw(service, payload, f"optiprov/ack/{client.id}")
        send_raw(service, payload, "optiprov/service")
    for payload in (b"999999", b"0R", b"-1", b"1" * 50, b"R"):
        send_raw(service, payload, f"optiprov/ack/{client.id}")
    send_raw(
        service, encode_batch(Header("a/#", 1, 1, "", 0, "", None, None, None), [encode_record(note(5))])
    )
    client.emit(note(2))
    assert client.flush(PATIENCE_S)
    provenance = RemoteProvenance(service.http)
    wait_until(lambda: provenance.health()["rejected"] == 6)
    assert numbers_by_client(provenance)["r"] == [1, 2]
    assert list(provenance.sql("SELECT DISTINCT client_id FROM prov.rejected")["client_id"]) == [""]


def test_batch_of_another_client_than_its_topic_names_is_rejected(service, new_client):
    """It is counted, with both names; what the client itself sends is stored."""
    client = new_client(service)
    client.emit(note(1))
    assert client.flush(10)
    forged = encode_batch(Header(client.id, 2, 1, "", 0, "", None, None, None), [encode_record(note(666))])
    for topic in ("optiprov/records/0/default/other", "optiprov/records/0/default", "optiprov/records/"):
        send_raw(service, forged, topic)
    provenance = RemoteProvenance(service.http)
    wait_until(lambda: provenance.health()["rejected"] == 3)
    client.emit(note(2))
    assert client.flush(10)
    assert numbers_by_client(provenance)["r"] == [1, 2]
    reasons = list(provenance.sql("SELECT reason FROM prov.rejected ORDER BY reason")["reason"])
    said = f"the batch says that it is of the client {client.id}, its topic names "
    assert reasons == [f"{said}{name!r}" for name in ("", "default", "other")]


def test_gap_whose_spool_is_gone_is_counted(service):
    """A batch that says that older ones are gone is stored, and the missing ones counted."""
    header = Header("gone", 4, 4, "", 0, "", None, None, None)
    send_raw(service, encode_batch(header, [encode_record(note(4))]), "optiprov/records/x/y/gone")
    provenance = RemoteProvenance(service.http)
    wait_until(lambda: provenance.health()["lost"] == 3)
    assert numbers_by_client(provenance)["r"] == [4]


def test_barrier_waits_until_stored(shared_service, new_client):
    """It answers as soon as the commit is there."""
    provenance = RemoteProvenance(shared_service.http)
    client = new_client(shared_service)
    passed = []
    heads = {client.id: 2}
    thread = threading.Thread(
        target=lambda: passed.append(provenance.wait_stored(heads, timeout_s=PATIENCE_S))
    )
    thread.start()
    client.emit(note(1))
    time.sleep(0.3)
    assert not passed
    client.emit(note(2))
    thread.join()
    assert passed
    assert provenance.sql(
        "SELECT mark FROM prov.ingest_mark WHERE client_id = ? AND mark = 2", (client.id,)
    ).size


def test_barrier_times_out_with_the_clients_that_lag(shared_service, new_client):
    """The message says who is where, and what was waited for."""
    client = new_client(shared_service)
    client.emit(note(1))
    assert client.flush(PATIENCE_S)
    with pytest.raises(
        BarrierTimeout, match=rf"not stored within 0.2 s: {client.id} at 1 of 3; x at 0 of 1$"
    ):
        RemoteProvenance(shared_service.http).wait_stored({client.id: 3, "x": 1}, timeout_s=0.2)


def test_commits_are_announced_to_long_polls(shared_service, new_client):
    """A poll behind the present commit answers with the next one, or with the same at its time-out."""
    provenance = RemoteProvenance(shared_service.http)
    present = provenance.wait_commit(-1, timeout_s=0)
    while (after := provenance.wait_commit(present, timeout_s=0.1)) != present:
        present = after  # of clients of tests before
    later = []
    thread = threading.Thread(
        target=lambda: later.append(provenance.wait_commit(present, timeout_s=PATIENCE_S))
    )
    thread.start()
    new_client(shared_service).emit(note(1))
    thread.join()
    assert later[0] > present


def test_many_waiting_requests_do_not_hold_up_others(service):
    """Fifty long polls and fifty barriers wait, and /health still answers; it does so while they wait."""
    waiting = []
    for _ in range(50):
        waiting.append(begin_request(service, "/commits", {"after": 10**6, "timeout_s": 300}))
        waiting.append(begin_request(service, "/barrier", {"heads": {"nobody": 1}, "timeout_s": 300}))
    assert RemoteProvenance(service.http).health()["status"] == "ok"
    answered, _, _ = select.select([connection.sock for connection in waiting], [], [], 0)
    assert answered == []
    for connection in waiting:
        connection.close()


@pytest.mark.parametrize("option", ["--http-port", "--mqtt-port"])
def test_port_in_use_is_a_clear_error(tmp_path, option):
    """Exit status 1; the message names the port and the option, and nothing is left open."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        other = "--mqtt-port" if option == "--http-port" else "--http-port"
        result = run_serve(tmp_path / "new" / "p.duckdb", option, port, other, 0)
    assert result.returncode == 1
    assert not (tmp_path / "new").exists(), "it takes away what it has made"
    assert str(port) in result.stderr
    assert f"Give another {option}; 0 picks a free one." in result.stderr
    assert "Traceback" not in result.stderr


def test_store_of_another_service_is_a_clear_error(shared_service):
    """Exit status 1; the message says who has it and how to go on."""
    result = run_serve(shared_service.store, "--mqtt-port", 0, "--http-port", 0)
    assert result.returncode == 1
    http = shared_service.http
    owns = f"the service {http} owns it (pid {shared_service.process.pid}). Use --store {http}, or stop it."
    assert result.stderr == f"Error: {shared_service.store}: {owns}\n"
    assert RemoteProvenance(shared_service.http).health()["status"] == "ok"
    assert json.loads(service_file(shared_service.store).read_text()) == shared_service.addresses


def test_broker_that_does_not_answer_is_a_clear_error(tmp_path):
    """An external broker that is not there; a wrong address exits with 2."""
    result = run_serve(tmp_path / "p.duckdb", "--broker", "http://x", "--http-port", 0)
    assert (result.returncode, "is no broker address" in result.stderr) == (2, True)


def test_connect_finds_the_service_that_owns_the_file(service, new_client):
    """By the address beside it; after a kill -9 the file itself is opened, and nothing is missing."""
    client = new_client(service)
    client.emit(note(1))
    assert client.flush(PATIENCE_S)
    provenance = optiprov.connect(service.store)
    assert numbers_by_client(provenance) == {"r": [1]}
    service.kill()
    assert service_file(service.store).exists()
    assert numbers_by_client(provenance) == {"r": [1]}
    assert numbers_by_client(optiprov.connect(service.store)) == {"r": [1]}


def test_stale_address_of_another_service_is_not_believed(start_service, tmp_path, new_client):
    """A killed service's port may be another's by now: its answers are about another store."""
    first = start_service()
    client = new_client(first)
    client.emit(note(1))
    assert client.flush(PATIENCE_S)
    first.kill()
    (tmp_path / "other").mkdir()
    start_service(store=tmp_path / "other" / "p.duckdb", http_port=first.http_port)
    assert numbers_by_client(optiprov.connect(first.store)) == {"r": [1]}


def start_broker():
    """Return a broker of nobody's, which listens."""
    while True:
        port = free_port("127.0.0.1")
        with contextlib.suppress(OSError):  # another process took it first
            return Broker(
                port=port, listen="127.0.0.1", max_payload_size=1 << 20, max_inflight_count=200
            ).start(PATIENCE_S)


def test_external_broker_is_used(start_service, new_client):
    """Started by others, it stays when the service stops."""
    with start_broker() as broker:
        port = broker.port
        service = start_service("--broker", f"mqtt://127.0.0.1:{port}")
        assert service.mqtt == f"mqtt://127.0.0.1:{port}"
        client = new_client(service)
        client.emit(note(1))
        assert client.flush(PATIENCE_S)
        assert service.stop() == 0
        assert broker.is_running


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE prov.run_begin",
        "SET threads = 1",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT 1; SELECT 2",
    ],
)
def test_sql_over_http_is_read_only(shared_service, sql):
    """The same guard as in process; the error comes back as one."""
    with pytest.raises(QueryError):
        RemoteProvenance(shared_service.http).sql(sql)
    assert httpx.post(f"{shared_service.http}/sql", json={"text": sql}).status_code == 400


def test_answers_are_json_where_arrow_is_not_asked_for(shared_service):
    """For curl and browsers; NaN is not null, and columns of one name are two."""
    sql = (
        "SELECT 1 AS a, 'x' AS a, 'nan'::DOUBLE AS c, TIMESTAMP '2024-01-02 03:04:05' AS d, 2::HUGEINT AS e,"
        " NULL AS f, [0.5] AS g"
    )
    answer = httpx.post(f"{shared_service.http}/sql", json={"text": sql}).json()
    rows = [[1, "x", "NaN", "2024-01-02T03:04:05.000000", 2, None, [0.5]]]
    assert answer == {"columns": list("aacdefg"), "rows": rows}


def test_wrong_requests_are_refused(shared_service):
    """A shape that is no request is 422, an unknown field 400, an unknown path 404; the service goes on."""
    post = lambda path, body: httpx.post(shared_service.http + path, json=body)  # noqa: E731
    assert post("/sql", {"nothing": 1}).status_code == 422
    assert post("/barrier", {"heads": {"a": "b"}}).status_code == 422
    assert post("/barrier", {"heads": {}, "timeout_s": -1}).status_code == 422
    answer = post("/query", {"projection": ["nonsense"]})
    assert answer.status_code == 400
    assert "unknown field 'nonsense'" in answer.json()["detail"]
    assert post("/nowhere", {}).status_code == 404
    assert post("/query", {"limit": 0}).status_code == 200


def test_query_is_the_same_over_http(shared_service, new_client):
    """One interface, on a file and on a service, from several threads at once."""
    client = new_client(shared_service)
    client.emit(note(1))
    assert client.flush(PATIENCE_S)
    provenance = RemoteProvenance(shared_service.http)
    frames = []
    threads = [threading.Thread(target=lambda: frames.append(provenance.query(limit=5))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(frames) == 8


def test_absent_service_is_told():
    """The message names the address."""
    with pytest.raises(ServiceUnavailable, match=r"answers at http://127\.0\.0\.1:9: .* refused\.$"):
        optiprov.connect("http://127.0.0.1:9").runs()


def test_service_needs_a_store_of_its_own(tmp_path):
    """A service's URL is no store to own, neither is another file."""
    assert run_serve("http://127.0.0.1:1").returncode == 2
    (tmp_path / "text").write_text("no database" * 1000)
    result = run_serve(tmp_path / "text", "--mqtt-port", 0, "--http-port", 0)
    assert (result.returncode, "it is no store, but a text file" in result.stderr) == (2, True)


def test_broker_ends_with_a_killed_service(service):
    """No process is left behind."""
    (broker,) = psutil.Process(service.process.pid).children()
    os.kill(service.process.pid, signal.SIGKILL)
    service.process.wait()
    wait_until(lambda: not broker.is_running() or broker.status() == psutil.STATUS_ZOMBIE)
