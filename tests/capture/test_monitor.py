"""The monitor of hosts: what it samples is stored under each host, and ends in good order."""

import os
import signal
import socket
import subprocess
import sys
import time

from optiprov import connect
from optiprov.capture import spool_heads
from optiprov.telemetry.groups import ProcessGroups

MARKER = "OPTIPROV_DEPLOYMENT=monitored"
BUSY = "import time\nx = bytearray(20_000_000)\nwhile True: sum(range(1000))"
WAIT_S = 60


def start(host, code=BUSY, marker=MARKER):
    """A process of a host of the deployment."""
    name, _, value = marker.partition("=")
    environment = {**os.environ, name: value, "OPTIPROV_HOST": host}
    return subprocess.Popen([sys.executable, "-S", "-c", code], env=environment)


def until(condition):
    """Wait for a condition; fail where it does not come true."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_groups_tell_hosts_apart():
    """CPU and memory of a host's processes count for it alone, and the counter keeps what has ended."""
    groups = ProcessGroups(["a", "b"], MARKER)
    with start("a") as own, start("a", marker="OPTIPROV_DEPLOYMENT=another") as foreign:
        until(lambda: groups.sample()["a"]["processes.cpu_s"] > 0.1)
        sample = groups.sample()
        own.kill()
        foreign.kill()
    assert sample["a"]["processes.count"] == 1
    assert sample["a"]["processes.resident_bytes"] > 20_000_000
    assert sample["b"] == dict.fromkeys(sample["b"], 0.0)
    after = groups.sample()["a"]
    assert after["processes.count"] == 0
    assert after["processes.cpu_s"] >= sample["a"]["processes.cpu_s"]


def test_samples_of_each_host_are_stored(tmp_path, clean_environment, shared_service):
    """Machine and processes, at each interval, in a run that SIGTERM finishes."""
    environment = {
        **clean_environment,
        "OPTIPROV_BROKER": shared_service.mqtt,
        "OPTIPROV_SPOOL": str(tmp_path / "spool"),
    }
    command = [
        sys.executable,
        "-m",
        "optiprov.capture.monitor",
        MARKER,
        "0.1",
        "edge.worker.1.1",
        "cloud.m.1.1",
    ]
    ask = connect(shared_service.http).sql
    taken = (
        "SELECT count(*) AS taken FROM prov.telemetry WHERE metric = 'processes.cpu_s' AND moment = 'sample'"
    )
    with start("edge.worker.1.1") as own, subprocess.Popen(command, env=environment) as monitor:
        until(lambda: ask(taken)["taken"][0] >= 6)
        monitor.send_signal(signal.SIGTERM)
        assert monitor.wait(WAIT_S) == 0
        own.kill()
    samples = ask(
        "SELECT t.host, m.metric, max(m.value) AS value FROM prov.telemetry m"
        " JOIN prov.task t ON t.task = m.task GROUP BY t.host, m.metric"
    )
    values = {(row.host, row.metric): row.value for row in samples.itertuples()}
    assert values["edge.worker.1.1", "processes.resident_bytes"] > 20_000_000
    assert values["cloud.m.1.1", "processes.count"] == 0
    assert {"host.cpu_busy_s", "host.memory_available_bytes", "host.disk_read_bytes"} <= {
        metric for _, metric in values
    }
    assert list(ask("SELECT status FROM prov.run")["status"]) == ["finished"]


def test_monitor_goes_on_when_nobody_waits_for_it(tmp_path, clean_environment):
    """Who started it may give up waiting for the first sample, and close the pipe."""
    environment = {
        **clean_environment,
        "OPTIPROV_SPOOL": str(tmp_path / "spool"),
        "OPTIPROV_FLUSH_TIMEOUT_S": "0",
    }
    command = [sys.executable, "-m", "optiprov.capture.monitor", MARKER, "0.05", "edge.worker.1.1"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as monitor:
        monitor.stdout.close()
        until(lambda: sum(spool_heads(tmp_path / "spool").values()) > 6)
        monitor.send_signal(signal.SIGTERM)
        assert monitor.wait(WAIT_S) == 0


def test_ready_is_said_in_one_write(tmp_path, clean_environment):
    """Who waits for it closes the pipe at the first byte; a second write would end the monitor."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # each write is a packet
    environment = {**clean_environment, "OPTIPROV_SPOOL": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "optiprov.capture.monitor", MARKER, "60", "a"]
    with ours, its, subprocess.Popen(command, env=environment, stdout=its) as monitor:
        ours.settimeout(WAIT_S)
        try:
            assert ours.recv(100) == b"ready\n"
        finally:
            monitor.terminate()
            assert monitor.wait(WAIT_S) == 0
