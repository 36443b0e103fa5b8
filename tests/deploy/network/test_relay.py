import os
import signal
import socket
import subprocess
import threading

import pytest

from optiprov import connect
from optiprov.deploy.network.endpoints import endpoints_of
from optiprov.errors import DeploymentError
from tests.conftest import RunningService
from tests.waiting import wait_until

from .conftest import python, run_on, state_of

CAPTURE = """
import sys
from optiprov import Data, Task, Workflow
workflow = Workflow("relayed")
workflow.begin()
task = Task(1, workflow, "measure")
task.begin([Data("measure_input", "relayed", [], {"number": [int(sys.argv[1])]})])
task.end([Data("measure_output", "relayed", [], {"double": [2 * int(sys.argv[1])]})])
workflow.end()
"""
FETCH = """
import sys, urllib.request
print(urllib.request.urlopen(sys.argv[1] + "/health", timeout=60).status)
"""
ECHO = """
import socket, sys
link = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 60)
for number in range(1000):
    link.sendall(bytes(1000))
link.shutdown(socket.SHUT_WR)
print(sum(len(block) for block in iter(lambda: link.recv(65536), b"")))
"""


@pytest.fixture
def service(tmp_path):
    """A provenance service on loopback."""
    running = RunningService(tmp_path / "provenance.duckdb")
    yield running
    running.kill()


def environment_of(service):
    """What hosts are told of a service."""
    broker = f"127.0.0.1:{service.mqtt_port}"
    return {"OPTIPROV_BROKER": f"mqtt://{broker}", "PROVLIGHT_SERVER_URL": broker}


def test_provenance_of_a_host_arrives_also_after_a_restart(deploy_apart, service):
    """The client finds the broker where this machine has it; so does the next, when that was restarted."""
    deployment = deploy_apart(client_environment=environment_of(service), provenance={"page": service.http})
    first, second, _ = deployment.hosts
    run_on(first, python(CAPTURE, 1))
    assert run_on(first, python(FETCH, service.http)) == "200\n"
    ports = {"mqtt_port": service.mqtt_port, "http_port": service.http_port}
    assert service.stop() == 0
    assert "Connection" in run_on(second, f"{python(FETCH, service.http)} 2>&1 || true")
    again = RunningService(service.store, **ports)
    try:
        run_on(second, python(CAPTURE, 2))
        store = connect(again.http)
        wait_until(lambda: len(store.runs()) == 2 and store.runs()["is_complete"].all())
        assert sorted(store.sql("SELECT double FROM measure_output")["double"]) == [2, 4]
    finally:
        again.kill()


def serve_echo():
    """A server of this machine that gives back what it gets, with its port."""
    server = socket.create_server(("127.0.0.1", 0))

    def answer(link):
        with link:
            while block := link.recv(65536):
                link.sendall(block)

    def serve():
        while True:
            try:
                link, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(link,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    return server, server.getsockname()[1]


def test_relay_comes_back_and_follows_what_is_asked_of_it(deploy_apart, tmp_path):
    """Killed, it is started again; when hosts are told of another broker, it relays to that one."""
    options = {"directory": tmp_path / "d", "deployment_id": "relays-of-a-test", "is_detached": True}
    options["supervised"] = "OPTIPROV_OF=relays"
    server, port = serve_echo()
    other, other_port = serve_echo()
    with server, other:
        first = deploy_apart(**options, environment={"OPTIPROV_BROKER": f"mqtt://127.0.0.1:{port}"})
        assert run_on(first.hosts[0], python(ECHO, port)) == "1000000\n"
        relay = state_of(first)["relay"]["pid"]
        os.kill(relay, signal.SIGKILL)
        wait_until(lambda: state_of(first)["relay"]["pid"] != relay)
        assert run_on(first.hosts[2], python(ECHO, port)) == "1000000\n"
        assert "refused" in run_on(first.hosts[2], f"{python(ECHO, other_port)} 2>&1 || true")
        first.detach()
        second = deploy_apart(**options, environment={"OPTIPROV_BROKER": f"mqtt://127.0.0.1:{other_port}"})
        assert run_on(second.hosts[1], python(ECHO, other_port)) == "1000000\n"


def test_many_connections_are_relayed_at_once(deploy_apart):
    """Each host has as many as it likes."""
    server, port = serve_echo()
    with server:
        deployment = deploy_apart(environment={"OPTIPROV_BROKER": f"mqtt://127.0.0.1:{port}"})
        running = [
            subprocess.Popen(
                host.enclosed(["sh", "-c", python(ECHO, port)]), stdout=subprocess.PIPE, text=True
            )
            for host in deployment.hosts
            for _ in range(5)
        ]
        assert [process.communicate()[0] for process in running] == ["1000000\n"] * 15


def test_localhost_is_found_whichever_address_it_has_here(deploy_apart):
    """Hosts find someone at both addresses, though here one is listened at."""
    server, port = serve_echo()
    with server:
        told = {"OPTIPROV_BROKER": f"mqtt://[::1]:{port}", "PROVLIGHT_SERVER_URL": f"127.0.0.1:{port}"}
        deployment = deploy_apart(environment=told)
        for address in ("127.0.0.1", *(["::1"] if deployment.hosts[0].address6 else [])):
            code = ECHO.replace("127.0.0.1", address)
            assert run_on(deployment.hosts[0], python(code, port)) == "1000000\n"


def test_broker_with_a_name_is_refused(deploy_apart):
    """Hosts in namespaces ask no name server; the message says what to do. An address is relayed."""
    with pytest.raises(DeploymentError, match=r"cannot find 'broker\.invalid'.*address"):
        deploy_apart(environment={"OPTIPROV_BROKER": "mqtt://broker.invalid"})
    assert endpoints_of({"OPTIPROV_BROKER": "mqtts://192.0.2.7"}) == [("192.0.2.7", 8883)]
    assert ("127.0.0.1", 22000) in endpoints_of({}, ["http://localhost:22000"])


def test_address_beyond_loopback_is_relayed(deploy_apart):
    """A broker at an address of this machine, or elsewhere, is reached at that address."""
    deployment = deploy_apart(environment={"OPTIPROV_BROKER": "mqtt://192.0.2.7:1883"})
    listening = run_on(deployment.hosts[1], "cat /proc/net/tcp")
    assert "070200C0:075B" in listening
