"""tc on hosts: what is given to it as text, and for real in namespaces as far as the kernel goes."""

import json
import re
import subprocess
import uuid

import pytest

from optiprov.deploy.journal import Journal
from optiprov.deploy.network.base import Link
from optiprov.deploy.network.guards import Guards
from optiprov.deploy.network.tc import TcEmulator, has_netem
from optiprov.deploy.network.tc_batch import Target, emulating, limit_packets
from optiprov.deploy.processes import ProcessTable
from optiprov.deploy.supervisor import Supervisor
from optiprov.errors import DeploymentError
from tests.waiting import wait_until


def test_batch_keeps_destinations_apart():
    """Each has a class with its rate, a leaf with its delay and loss, and a filter for each address."""
    first = Link("a", "b", delay_s=0.028, rate_bit_s=1e9, loss_share=0.001)
    second = Link("a", "c", rate_bit_s=250_000)
    third = Link("a", "d", delay_s=0.0005)
    targets = [Target(first, "10.0.0.2", "fd00::2"), Target(second, "10.0.0.3"), Target(third, "10.0.0.4")]
    assert emulating("eth0", targets) == [
        "qdisc replace dev eth0 root pfifo",
        "qdisc replace dev eth0 root handle f70: htb",
        (
            "class add dev eth0 parent f70: classid f70:1 htb rate 1000000000bit ceil 1000000000bit "
            "burst 125000 cburst 125000 quantum 1600"
        ),
        "qdisc add dev eth0 parent f70:1 netem limit 25834 delay 28000us loss 0.1%",
        "filter add dev eth0 parent f70: protocol ip prio 1 u32 match ip dst 10.0.0.2/32 flowid f70:1",
        "filter add dev eth0 parent f70: protocol ipv6 prio 2 u32 match ip6 dst fd00::2/128 flowid f70:1",
        (
            "class add dev eth0 parent f70: classid f70:2 htb rate 250000bit ceil 250000bit "
            "burst 1600 cburst 1600 quantum 1600"
        ),
        "qdisc add dev eth0 parent f70:2 pfifo limit 50",
        "filter add dev eth0 parent f70: protocol ip prio 1 u32 match ip dst 10.0.0.3/32 flowid f70:2",
        (
            "class add dev eth0 parent f70: classid f70:3 htb rate 100000000000bit ceil 100000000000bit "
            "burst 12500000 cburst 12500000 quantum 1600"
        ),
        "qdisc add dev eth0 parent f70:3 netem limit 100500 delay 500us",
        "filter add dev eth0 parent f70: protocol ip prio 1 u32 match ip dst 10.0.0.4/32 flowid f70:3",
    ]


@pytest.mark.parametrize(
    ("delay_s", "rate_bit_s", "least"),
    [(0.028, 1e9, 0.028 * 1e9 / 12_000), (0.5, 250_000, 60), (0.0, 1e9, 8_333), (1.0, None, 1_000_000)],
)
def test_limit_holds_what_is_under_way(delay_s, rate_bit_s, least):
    """Packets of a full rate fit in, and the queue of a slow link is no more than seconds long."""
    limit = limit_packets(Link("a", "b", delay_s=delay_s, rate_bit_s=rate_bit_s))
    assert limit > least
    if rate_bit_s is not None:
        assert (limit - delay_s * rate_bit_s / 1600) * 12_000 / rate_bit_s < 3


def roots(host):
    """The kinds at the root of the interface of a host."""
    told = json.loads(host.run("tc", "-j", "qdisc", "show", "dev", "eth0"))
    return [one["kind"] for one in told if one.get("root")]


def rates(host):
    """The rates of its classes, as tc writes them."""
    return re.findall(r"htb f70:.* rate (\S+) ", host.run("tc", "class", "show", "dev", "eth0"))


def test_links_are_replaced_and_removed_as_a_whole(bridge):
    """What one call asks for is there, nothing of the call before is, and in the end what the kernel has."""
    hosts = bridge(3)
    a, b, c = (host.id for host in hosts)
    before = roots(hosts[0])
    emulator = TcEmulator(hosts)
    emulator.apply([Link(a, b, rate_bit_s=1e6), Link(a, c, rate_bit_s=2e6), Link(b, a, rate_bit_s=3e6)])
    assert rates(hosts[0]) == ["1Mbit", "2Mbit"]
    filters = hosts[0].run("tc", "filter", "show", "dev", "eth0")
    assert (filters.count("match 0a090002/ffffffff"), filters.count("match 0a090003/ffffffff")) == (1, 1)
    assert filters.count("match fd090000/ffffffff") == 2
    assert roots(hosts[2]) == before
    TcEmulator(hosts).apply([Link(a, c, rate_bit_s=4e6)])  # as another process does
    assert rates(hosts[0]) == ["4Mbit"]
    assert roots(hosts[1]) == before
    emulator.apply([])
    assert [roots(host) for host in hosts] == [before] * 3


def test_guard_takes_rules_off_a_host_that_goes_on(bridge, tmp_path):
    """Ended by a signal, as with a deployment whose driver was killed, it leaves nothing behind."""
    hosts = bridge(2)
    emulator = TcEmulator(hosts)
    emulator.apply([Link(hosts[0].id, hosts[1].id, rate_bit_s=1e6)])
    with Supervisor(f"OPTIPROV_DEPLOYMENT=test-{uuid.uuid4().hex}") as supervisor:
        table = ProcessTable(Journal(tmp_path / "journal.jsonl"), supervisor)
        guards = Guards(table, tmp_path)
        guards.stand(hosts[:1], emulator.taking_off)
        assert (guards.all_stand, rates(hosts[0])) == (True, ["1Mbit"])
        table.end_all()
        wait_until(lambda: not guards.all_stand)
    assert rates(hosts[0]) == []


def test_host_without_links_keeps_what_others_put_there(bridge):
    """An htb of somebody else is neither ours to remove nor in the way."""
    hosts = bridge(2)
    hosts[1].run("tc", "qdisc", "add", "dev", "eth0", "root", "handle", "1:", "htb")
    TcEmulator(hosts).apply([Link(hosts[0].id, hosts[1].id, rate_bit_s=1e6)])
    TcEmulator(hosts).apply([])
    assert roots(hosts[1]) == ["htb"]


def test_missing_netem_is_told_with_what_to_do(bridge):
    """A kernel without it refuses a delay: the message has host, line and the modules to load."""
    if has_netem():
        pytest.skip("this kernel has netem")
    hosts = bridge(2)
    link = Link(hosts[0].id, hosts[1].id, delay_s=0.01)
    with pytest.raises(DeploymentError, match=r"edge\.h\.1\.1: its kernel lacks .*netem.*modprobe sch_netem"):
        TcEmulator(hosts).apply([link])


def test_netem_delays_and_loses(bridge):
    """Where the kernel has it: 20 ms each way are 40 there and back; all is lost where all is to be."""
    if not has_netem():
        pytest.skip("the kernel of this machine has no netem (sch_netem)")
    hosts = bridge(2)
    a, b = (host.id for host in hosts)
    emulator = TcEmulator(hosts)
    emulator.apply([Link(a, b, delay_s=0.02), Link(b, a, delay_s=0.02)])
    told = hosts[0].run("ping", "-c", "3", "-i", "0.1", hosts[1].address)
    least_ms = float(told.rpartition(" = ")[2].split("/")[0])
    assert least_ms >= 40
    emulator.apply([Link(a, b, loss_share=1.0)])
    lost = subprocess.run(hosts[0].enclosed(["ping", "-c", "2", "-W", "1", hosts[1].address]), check=False)
    assert lost.returncode == 1


def test_host_without_the_rights_is_told(bridge):
    """Neither root nor sudo: the message says what is needed."""
    hosts = bridge(2)
    drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--"]
    emulator = TcEmulator(hosts, enter=lambda host, argv: host.enclosed([*drop, *argv]))
    with pytest.raises(DeploymentError, match=r"may not rule the network .*Log in as root, or allow"):
        emulator.apply([Link(hosts[0].id, hosts[1].id, rate_bit_s=1e6)])


def test_hosts_that_share_an_address_cannot_be_ruled(bridge):
    """Said with both of them."""
    (host,) = bridge(1)
    twin = type(host)("edge.h.1.2", host.entering, host.address, None)
    with pytest.raises(DeploymentError, match=r"edge.h.1.1 has no way to edge.h.1.2 .*share an address"):
        TcEmulator([host, twin]).apply([Link(host.id, twin.id, rate_bit_s=1e6)])
