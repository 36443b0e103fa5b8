"""What was measured of a link against what its rules say."""

from __future__ import annotations

import math
from statistics import median
from typing import TYPE_CHECKING

from optiprov.deploy.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optiprov.deploy.network.base import Link

MET, MISSED, CAPPED, UNMEASURED, SHOWN = "met", "missed", "capped", "unmeasured", "shown"

ROUND_TRIP, UDP_RATE, LOSS, TCP_RATE = "round_trip", "udp_rate", "loss", "tcp_rate"
UNITS = {ROUND_TRIP: "ms", UDP_RATE: "bit/s", LOSS: "%", TCP_RATE: "bit/s"}

ROUND_TRIP_SHARE = 0.1
ROUND_TRIP_S = 0.002
CONFIDENCE = 0.99
REACHED_SHARE = 0.9
HEADER_BYTES = 14 + 20 + 8
"""Of Ethernet, IPv4 and UDP, which pass with the payload."""


@frozen
class Judgement:
    """What was measured, in the unit of its property, against what the rules say.

    Attributes:
        expected: What the rules say; None where they say nothing of it.
        low: What it has to be at least.
        high: What it may be at most.
        measured: What it is; None where nothing came through.
        outcome: `met`, `missed`; `capped`: an emulator or the measuring reaches no more; `unmeasured`;
            `shown`: measured beside the rules.
    """

    expected: float | None
    low: float | None
    high: float | None
    measured: float | None
    outcome: str


@frozen
class Finding:
    """One property of one link, measured.

    Attributes:
        link: The link.
        rules: The lines of network.yaml that make it.
        emulator: By what it is emulated.
        name: The property, one of `UNITS`.
        samples: How many packets tell so; 0 for a connection.
        judgement: What came of it.
    """

    link: Link
    rules: tuple[int, ...]
    emulator: str
    name: str
    samples: int
    judgement: Judgement


def judge_round_trip(link: Link, back: Link | None, times_s: Sequence[float], packet_bytes: int) -> Judgement:
    """The median of round trips: the delays of both ways within 10 % or 2 ms, and the packets' own time."""
    delays = [one.delay_s for one in (link, back) if one is not None]
    rates = [one.rate_bit_s for one in (link, back) if one is not None and one.rate_bit_s is not None]
    expected = sum(delays)
    tolerance = max(ROUND_TRIP_SHARE * expected, ROUND_TRIP_S)
    passing = sum(packet_bytes * 8 / rate for rate in rates)
    low, high = max(0.0, expected - tolerance), expected + passing + tolerance
    found = median(times_s) if times_s else None
    outcome = UNMEASURED if found is None else MET if low <= found <= high else MISSED
    return Judgement(expected * 1e3, low * 1e3, high * 1e3, None if found is None else found * 1e3, outcome)


def judge_rate(link: Link, rate_bit_s: float | None, payload_bytes: int) -> Judgement:
    """The payload that passes in a second: never above the rule; far below is what can be reached at all."""
    rule = link.rate_bit_s or 0.0
    # Whatever counts the bits counts headers too, and may lose packets before or behind.
    low = REACHED_SHARE * rule * (1 - link.loss_share) * payload_bytes / (payload_bytes + HEADER_BYTES)
    outcome = MET
    if rate_bit_s is None:
        outcome = UNMEASURED
    elif rate_bit_s > rule:
        outcome = MISSED
    elif rate_bit_s < low:
        outcome = CAPPED
    return Judgement(rule, None, rule, rate_bit_s, outcome)


def judge_loss(link: Link, lost: int, sent: int) -> Judgement:
    """The share of packets lost, within the 99 % interval of so many packets."""
    if sent == 0:
        return Judgement(link.loss_share * 100, None, None, None, UNMEASURED)
    low, high = binomial_interval(sent, link.loss_share)
    percent = 100 / sent
    outcome = MET if low <= lost <= high else MISSED
    return Judgement(link.loss_share * 100, low * percent, high * percent, lost * percent, outcome)


def binomial_interval(packets: int, share: float) -> tuple[int, int]:
    """The fewest and the most of so many packets that are lost with 99 % probability, as many on each side.

    >>> binomial_interval(10_000, 0.001)
    (3, 19)
    >>> binomial_interval(10, 1.0)
    (10, 10)
    """
    if share in (0.0, 1.0):
        return round(packets * share), round(packets * share)
    tail = (1 - CONFIDENCE) / 2
    below, low, high = 0.0, 0, packets
    for count in range(packets + 1):
        probability = math.exp(
            math.lgamma(packets + 1)
            - math.lgamma(count + 1)
            - math.lgamma(packets - count + 1)
            + count * math.log(share)
            + (packets - count) * math.log1p(-share)
        )
        if below + probability <= tail:
            low = count + 1
        below += probability
        if below >= 1 - tail:
            high = count
            break
    return low, high
