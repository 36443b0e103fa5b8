"""Links are measured for real, and held against what rules say of them."""

import csv
import json
import subprocess
import uuid
from pathlib import Path

import pytest

from optiprov.deploy.journal import Journal
from optiprov.deploy.network import probe
from optiprov.deploy.network.base import Link
from optiprov.deploy.network.report import as_text, write_report
from optiprov.deploy.network.state import as_links
from optiprov.deploy.network.tc import TcEmulator
from optiprov.deploy.network.validation import Effort, MeasuredLink, Validation, links_to_measure
from optiprov.deploy.network.verdict import (
    Finding,
    Judgement,
    binomial_interval,
    judge_loss,
    judge_rate,
    judge_round_trip,
)
from optiprov.deploy.processes import ProcessTable
from optiprov.deploy.supervisor import Supervisor
from optiprov.deploy.watchdog import find_processes
from tests.capture.test_old_python import interpreters

BRIEF = Effort(round_trips=5, packets=500, loss_s=2.0, rate_s=0.3, tcp_s=0.2)


@pytest.fixture
def measure(bridge, tmp_path):
    """Measures a link between two namespaced hosts, with nothing or with what is emulated between them."""
    marker = f"OPTIPROV_DEPLOYMENT=test-{uuid.uuid4().hex}"
    hosts = bridge(2)
    with Supervisor(marker) as supervisor:
        table = ProcessTable(Journal(tmp_path / "journal.jsonl"), supervisor)

        def run(back=None, effort=BRIEF, emulates=False, **link):
            there = Link(hosts[0].id, hosts[1].id, **link)
            if emulates:
                TcEmulator(hosts).apply([there])
            found = Validation(hosts, table, effort).run([MeasuredLink(there, (2,), "tc", back)])
            return {one.name: one for one in found}

        yield run
        assert find_processes((marker,), set()) == []


def outcomes(found):
    """What came of each property."""
    return {name: one.judgement.outcome for name, one in found.items()}


def test_rate_of_an_emulated_link_is_met(measure):
    """10 Mbit/s by htb: UDP gets nearly all of it and never more, and TCP is told beside it."""
    found = measure(emulates=True, rate_bit_s=1e7)
    assert outcomes(found) == {"udp_rate": "met", "tcp_rate": "shown"}
    assert 9e6 < found["udp_rate"].judgement.measured < 1e7


def test_rules_that_do_not_hold_are_missed(measure):
    """Nothing is emulated: neither delay, rate nor loss is what it ought to be."""
    found = measure(delay_s=0.05, rate_bit_s=1e6, loss_share=0.2)
    expected = {"round_trip": "missed", "udp_rate": "missed", "loss": "missed", "tcp_rate": "shown"}
    assert outcomes(found) == expected
    assert found["loss"].judgement.measured < 1
    assert found["loss"].samples == 500
    assert found["round_trip"].judgement.measured < 20


def test_what_nothing_reaches_is_told_as_a_cap(measure):
    """A rate beyond what a script can send is no error."""
    assert outcomes(measure(rate_bit_s=1e12))["udp_rate"] == "capped"


@pytest.mark.parametrize(
    ("times_s", "outcome", "measured"),
    [([0.056] * 3, "met", 56), ([0.0617], "missed", 61.7), ([0.05], "missed", 50), ([], "unmeasured", None)],
)
def test_round_trip_is_both_delays_within_a_tenth(times_s, outcome, measured):
    """28 ms each way are 56 ms, 5.6 ms more or less."""
    link, back = Link("a", "b", delay_s=0.028), Link("b", "a", delay_s=0.028)
    judgement = judge_round_trip(link, back, times_s, 60)
    assert (judgement.outcome, judgement.measured) == (outcome, measured and pytest.approx(measured))
    assert judgement.expected == pytest.approx(56)


def test_round_trip_of_one_direction_is_its_delay():
    """Without a rule for the way back; 2 ms more or less where a tenth is less, and the packet's own time."""
    judgement = judge_round_trip(Link("a", "b", delay_s=0.005, rate_bit_s=480_000), None, [0.0075], 60)
    assert (judgement.low, judgement.high) == (pytest.approx(3), pytest.approx(8))
    assert judgement.outcome == "met"


@pytest.mark.parametrize(
    ("rate", "outcome"), [(9.6e5, "met"), (1.0001e6, "missed"), (5e5, "capped"), (None, "unmeasured")]
)
def test_rate_is_never_above_the_rule(rate, outcome):
    """A rule of 1 Mbit/s, payloads of 1400 bytes."""
    assert judge_rate(Link("a", "b", rate_bit_s=1e6), rate, 1400).outcome == outcome


@pytest.mark.parametrize(("packets", "share"), [(10_000, 0.001), (10_000, 0.3), (1_000, 0.005), (7, 0.5)])
def test_loss_is_held_against_the_interval_of_its_packets(packets, share):
    """The interval has at least 99 %, and is the same as that of another implementation."""
    from scipy.stats import binom

    low, high = binomial_interval(packets, share)
    assert (low, high) == (binom.ppf(0.005, packets, share), binom.ppf(0.995, packets, share))
    outcome = [
        judge_loss(Link("a", "b", loss_share=share), lost, packets).outcome for lost in (low, high + 1)
    ]
    assert outcome == ["met", "missed"]


def test_one_link_of_each_rule_is_measured_with_its_way_back():
    """All of them on request; a link that several rules make is measured for itself."""
    pairs = [
        ("a", "b", [2]),
        ("a", "c", [2]),
        ("a", "d", [2, 3]),
        ("b", "a", [2]),
        ("c", "a", [2]),
        ("d", "a", [2]),
    ]
    rows = [
        {"source": a, "destination": b, "delay_s": 0.1, "rate_bit_s": None, "loss_share": 0.0}
        | {"rules": rules, "emulator": "tc"}
        for a, b, rules in pairs
    ]
    chosen = links_to_measure(rows, as_links(rows), is_all=False)
    ends = [(one.link.source, one.link.destination) for one in chosen]
    assert ends == [("a", "b"), ("a", "d"), ("b", "a"), ("d", "a")]
    assert chosen[0].back == Link("b", "a", 0.1)
    assert len(links_to_measure(rows, as_links(rows), is_all=True)) == len(pairs)


def test_report_is_a_table_for_programs_one_for_people_and_plots(tmp_path):
    """With the same names and content each time."""
    link = Link("edge.worker.1.1", "cloud.master.1.1", 0.028, 1e9, 0.001)
    findings = [
        Finding(link, (2, 5), "tc netem", "round_trip", 20, Judgement(56.0, 50.4, 61.6, 57.125, "met")),
        Finding(link, (2, 5), "tc netem", "udp_rate", 900, Judgement(1e9, None, 1e9, 2.5e8, "capped")),
        Finding(link, (2, 5), "tc netem", "tcp_rate", 0, Judgement(1e9, None, None, None, "unmeasured")),
    ]
    place = write_report(tmp_path, findings)
    names = sorted(path.name for path in place.iterdir())
    assert names == ["network.csv", "network.txt", "round_trip.png", "udp_rate.png"]
    with (place / "network.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0].values()) == [
        *("edge.worker.1.1", "cloud.master.1.1", "2 5", "tc netem", "round_trip", "ms"),
        *("56.0", "50.4", "61.6", "57.125", "20", "met"),
    ]
    assert (rows[2]["expected"], rows[2]["measured"], rows[2]["outcome"]) == (
        "1000000000.0",
        "",
        "unmeasured",
    )
    text = (place / "network.txt").read_text()
    assert text == as_text(findings) + "\n"
    assert "round trip  56 ms (50.4 to 61.6)  57.12 ms    20       met" in text
    assert "at most 1 Gbit/s      250 Mbit/s" in text
    assert "capped: no more than this gets through" in text
    first = {path.name: path.read_bytes() for path in place.iterdir()}
    write_report(tmp_path, findings)
    assert {path.name: path.read_bytes() for path in place.iterdir()} == first


@pytest.mark.parametrize("choose", [min, max])
def test_script_runs_on_the_pythons_of_hosts(choose):
    """On the oldest and the newest that is here: it answers itself over the loopback."""
    found = interpreters()
    version = choose(found, key=lambda name: int(name.partition(".")[2]))
    python = [found[version], "-I", "-S", "-c", Path(probe.__file__).read_text()]
    with subprocess.Popen(
        [*python, "serve", "127.0.0.1", "60"], stdout=subprocess.PIPE, text=True
    ) as serving:
        try:
            ports = json.loads(serving.stdout.readline())
            ask = [*python, "echo", "127.0.0.1", str(ports["echo"]), "3", "0.01", "5"]
            told = json.loads(subprocess.run(ask, capture_output=True, check=True).stdout)
            send = [*python, "send", "127.0.0.1", str(ports["sink"]), "7", "10", "100", "1000", "5"]
            subprocess.run(send, capture_output=True, check=True)
            counted = json.loads(serving.stdout.readline())
        finally:
            serving.kill()
    assert (told["sent"], len(told["times_s"])) == (3, 3)
    assert (counted["stream"], counted["received"] + counted["dropped"]) == (7, 10)
