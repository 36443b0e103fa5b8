import os
import re
import signal
import time

import pytest

from optiprov.deploy.journal import Journal
from optiprov.deploy.network.base import Link
from optiprov.deploy.network.links import queue_packets
from optiprov.deploy.network.packets import size_on_wire
from optiprov.deploy.network.user_space import UserSpaceEmulator
from optiprov.deploy.providers import isolation
from optiprov.deploy.providers.base import HostRequest
from optiprov.deploy.providers.local import LocalProvider
from optiprov.errors import DeploymentError
from tests.deploy.test_isolation import BY_USER
from tests.waiting import least_of, wait_until

from .conftest import python, run_on, start_on

COUNT = """
import socket, sys, time
receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
receiver.bind((sys.argv[1], 5000))
receiver.settimeout(60)
print("listening", flush=True)
sizes = []
while (packet := receiver.recv(65536)) != b"end":
    sizes.append(len(packet))
    last = time.monotonic()
print(len(sizes), sum(sizes), last)
"""
SEND = """
import socket, sys, time
address, packets, size, pause_s = sys.argv[1], *map(float, sys.argv[2:])
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.connect((address, 5000))
print(time.monotonic())
for number in range(int(packets)):
    sender.send(bytes(int(size)))
    if pause_s and number % 20 == 19:
        time.sleep(pause_s)
try:
    while True:  # behind the packets in the queue, until one arrives
        time.sleep(0.05)
        sender.send(b"end")
except ConnectionRefusedError:
    pass  # the receiver has it, and is gone
"""
DIGEST = """
import hashlib, socket, sys, time
server = socket.create_server((sys.argv[1], 5001))
print("listening", flush=True)
link, _ = server.accept()
began, digest = time.monotonic(), hashlib.sha256()
for block in iter(lambda: link.recv(1 << 20), b""):
    digest.update(block)
print(time.monotonic() - began, digest.hexdigest())
"""
STREAM = """
import hashlib, random, socket, sys
content = random.Random(1).randbytes(int(sys.argv[2]))
socket.create_connection((sys.argv[1], 5001)).sendall(content)
print(hashlib.sha256(content).hexdigest())
"""


@pytest.fixture
def provider(scenario, tmp_path):
    """Three hosts with a network of their own, by their provider."""
    provider = LocalProvider()
    journal = Journal(tmp_path / "journal.jsonl")
    request = HostRequest(scenario.input_dirs, tmp_path, {}, journal, isolation="netns")
    provider.made = provider.deploy(scenario.placements, request)
    yield provider
    provider.destroy()


def link(source, destination, *values):
    """A link between two hosts."""
    return Link(source.id, destination.id, *values)


def both(one, other, *values):
    """The links of both ways."""
    return [link(one, other, *values), link(other, one, *values)]


def round_trip_ms(host, address, bound_ms=1000.0):
    """The least round trip to an address that is seen; a busy machine makes it longer, never shorter."""

    def ping():
        output = run_on(host, f"ping -q -c 5 -i 0.05 -W 30 {address}")
        return float(re.search(r"= ([\d.]+)/", output)[1])

    return least_of(ping, bound_ms)


def count(receiver, sender, packets, size, pause_s=0.0):
    """How many packets of those that are sent arrive, and bytes; and how long it takes, from the first on."""
    with start_on(receiver, python(COUNT, receiver.address)) as counting:
        assert counting.stdout.readline() == "listening\n"
        began = run_on(sender, python(SEND, receiver.address, packets, size, pause_s))
        number, size_bytes, ended = counting.stdout.readline().split()
    return int(number), int(size_bytes), float(ended) - float(began)


@pytest.mark.parametrize("user", ["as root", "by user namespace"])
def test_delay_is_one_way_and_kept_apart_by_destination(user, monkeypatch, request):
    """Each link has its own, both ways add up, by IPv4 and IPv6; what has no link is as fast as before."""
    if user == "by user namespace":
        monkeypatch.setattr(isolation, "_probed_commands", lambda: BY_USER)
    provider = request.getfixturevalue("provider")
    one, two, three = provider.made
    UserSpaceEmulator(provider._network).apply([*both(one, two, 0.02), link(one, three, 0.05)])
    assert 40 <= round_trip_ms(one, two.address, 42) < 42
    assert 50 <= round_trip_ms(three, one.address, 52) < 52
    assert round_trip_ms(two, three.address, 2) < 2
    if one.address6 is not None:
        assert 40 <= round_trip_ms(two, one.address6, 42) < 42
        assert round_trip_ms(two, three.address6, 2) < 2


def test_links_change_while_traffic_flows(provider):
    """No packet is lost when delays change, come and go; those under way arrive."""
    one, two, _ = provider.made
    emulator = UserSpaceEmulator(provider._network)
    with start_on(one, f"ping -i 0.02 {two.address}") as pinging:
        for delay_s in (0.02, 0.08, 0.0, 0.03, 0.0):
            emulator.apply(both(one, two, delay_s) if delay_s else [])
            bound = delay_s * 2000 + 2
            assert delay_s * 2000 <= round_trip_ms(two, one.address, bound) < bound
        pinging.send_signal(signal.SIGINT)
        output = pinging.communicate()[0]
    sent, received = map(int, re.search(r"(\d+) packets transmitted, (\d+) received", output).groups())
    assert sent > 10
    assert received >= sent - 1  # one was under way when it was interrupted


def test_rate_is_never_above_the_rule(provider):
    """Packets leave one after the other; a bounded queue drops its tail. TCP comes to use the rate."""
    one, two, _ = provider.made
    UserSpaceEmulator(provider._network).apply([link(one, two, 0.0, 10e6)])
    arrived, size_bytes, duration_s = count(two, one, 3000, 1000)
    assert size_bytes * 8 / duration_s < 10e6
    assert queue_packets(10e6) <= arrived < 3000
    with start_on(two, python(DIGEST, two.address)) as receiving:
        assert receiving.stdout.readline() == "listening\n"
        run_on(one, python(STREAM, two.address, 1_000_000))
        duration_s = float(receiving.stdout.readline().split()[0])
    assert 0.75 < duration_s < 8


def test_loss_lies_in_the_binomial_interval(provider):
    """Of 10,000 packets 1 % is lost, give or take what chance does in 99 of 100 cases; the seed is fixed."""
    one, two, _ = provider.made
    UserSpaceEmulator(provider._network, seed=7).apply([link(one, two, 0.0, None, 0.01)])
    arrived, _, _ = count(two, one, 10_000, 100, 0.002)
    assert 10_000 - 126 <= arrived <= 10_000 - 75


def test_streams_arrive_whole(provider):
    """Checksums and segments that hosts leave to hardware are right over a link, with loss and without."""
    one, two, _ = provider.made
    for loss_share in (0.0, 0.01):
        UserSpaceEmulator(provider._network).apply([link(one, two, 0.001, None, loss_share)])
        with start_on(two, python(DIGEST, two.address)) as receiving:
            assert receiving.stdout.readline() == "listening\n"
            sent = run_on(one, python(STREAM, two.address, 10_000_000))
            assert receiving.stdout.readline().split()[1] == sent.strip()


def test_links_outlive_what_applied_them_and_the_emulator(provider, caplog):
    """Killed, it is started again with the same links. Who applies links next is told."""
    one, two, _ = provider.made
    UserSpaceEmulator(provider._network).apply(both(one, two, 0.02))
    network = provider._network
    killed = network._read_state()["emulator"]["pid"]
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: network._read_state()["emulator"]["pid"] != killed)
    assert 40 <= round_trip_ms(one, two.address, 42) < 42
    UserSpaceEmulator(provider._network).apply(both(one, two, 0.01))
    assert "had ended, and was started again" in caplog.text
    assert 20 <= round_trip_ms(one, two.address, 22) < 22


def test_what_goes_over_links_is_lost_while_nothing_emulates(provider):
    """A measurement without its delay would look right and be wrong."""
    one, two, three = provider.made
    UserSpaceEmulator(provider._network).apply(both(one, two, 0.02))
    pid = provider._network._read_state()["emulator"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    assert "100% packet loss" in run_on(one, f"ping -c 2 -i 0.1 -W 1 {two.address} || true")
    assert time.monotonic() - began < 60
    run_on(one, f"ping -c 1 -W 30 {three.address}")
    os.kill(pid, signal.SIGCONT)


def test_links_of_other_hosts_are_refused(provider):
    """A host of another testbed has no place in the network."""
    with pytest.raises(DeploymentError, match=r"cloud\.x\.1\.1: no hosts of the network"):
        UserSpaceEmulator(provider._network).apply([Link("cloud.x.1.1", provider.made[0].id, 0.1)])


def test_hosts_without_a_network_of_their_own_have_no_emulator():
    """They share this machine's, where nothing can lie between them."""
    assert LocalProvider().emulator() is None


def test_large_segments_count_as_the_packets_that_they_become():
    """Each has the headers of the first: 14 + 20 + 20 bytes."""
    header = bytes([1, 1]) + (54).to_bytes(2, "little") + (1000).to_bytes(2, "little")
    header += (34).to_bytes(2, "little") + (16).to_bytes(2, "little")
    packet = bytes(14 + 20 + 12) + bytes([5 << 4]) + bytes(7)
    assert size_on_wire(header + packet + bytes(2500)) == (3, 2500 + 3 * 54)
    assert size_on_wire(bytes(10) + bytes(60)) == (1, 60)
