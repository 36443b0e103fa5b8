"""Measures what lies between the hosts of a deployment, and holds it against the rules."""

from __future__ import annotations

import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from optiprov.deploy.frozen import frozen
from optiprov.deploy.network.measuring import Prober
from optiprov.deploy.network.verdict import (
    HEADER_BYTES,
    LOSS,
    MISSED,
    ROUND_TRIP,
    SHOWN,
    TCP_RATE,
    UDP_RATE,
    UNMEASURED,
    Finding,
    Judgement,
    judge_loss,
    judge_rate,
    judge_round_trip,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from optiprov.deploy.network.base import Link
    from optiprov.deploy.processes import ProcessTable
    from optiprov.deploy.providers.base import Host

_SMALL_BYTES = 18  # with its headers the least that Ethernet sends
_LARGE_BYTES = 1400
_LEAST_BYTES = 200
_PACKET_S = 0.01
_OFFERED_SHARE = 1.25
_LEAST_PACKETS = 40
_LOSS_RATE_SHARE = 0.8
_LOSS_PACKETS_PER_S = 2500.0
_LOSS_AT_ONCE = 4
_PROBE_INTERVAL_S = 0.005
_SPARE_S = 1.0
_LEAST_BUFFER_BYTES = 1 << 15
_BUFFER_S = 0.25
_ATTEMPTS = 3


@frozen(kw_only=True)
class Effort:
    """How long measuring goes on for each link.

    Attributes:
        round_trips: How many packets are sent there and back.
        packets: How many packets tell of a loss.
        loss_s: For how long at most: slow links take fewer packets in it.
        rate_s: How long the rate of UDP is measured.
        tcp_s: How long a connection sends.
    """

    round_trips: int = 20
    packets: int = 10_000
    loss_s: float = 10.0
    rate_s: float = 0.5
    tcp_s: float = 0.5


QUICK = Effort(round_trips=10, packets=1_000, loss_s=3.0, rate_s=0.25, tcp_s=0.25)


@frozen
class MeasuredLink:
    """A link to be measured.

    Attributes:
        link: The link.
        rules: The lines of its rules.
        emulator: By what it is emulated.
        back: The link of the way back, None where no rule is for it.
    """

    link: Link
    rules: tuple[int, ...]
    emulator: str
    back: Link | None


def links_to_measure(
    rows: Sequence[Mapping[str, Any]], links: Sequence[Link], *, is_all: bool
) -> list[MeasuredLink]:
    """The links to measure: all, or for each set of rules the first one and its way back.

    Args:
        rows: The links that are emulated, as the state has them.
        links: The same as links.
        is_all: Whether all are measured.
    """
    by_pair = {(link.source, link.destination): link for link in links}
    chosen: dict[tuple[str, str], MeasuredLink] = {}
    seen: set[tuple[int, ...]] = set()
    measured = {
        (link.source, link.destination): MeasuredLink(
            link, tuple(row["rules"]), row["emulator"], by_pair.get((link.destination, link.source))
        )
        for row, link in zip(rows, links, strict=True)
    }
    for (source, destination), one in measured.items():
        if is_all or one.rules not in seen:
            seen.add(one.rules)
            chosen[source, destination] = one
            if (destination, source) in measured:
                back = measured[destination, source]
                seen.add(back.rules)
                chosen[destination, source] = back
    return [one for pair, one in measured.items() if pair in chosen]


class Validation:
    """Measures links one after the other, losses side by side.

    Args:
        hosts: The hosts.
        processes: What starts processes on them.
        effort: How long.
        on_step: Called with what is measured next, how many measurements are done, and how many there are.
    """

    def __init__(
        self,
        hosts: Sequence[Host],
        processes: ProcessTable,
        effort: Effort,
        on_step: Callable[[str, int, int], None] = lambda _what, _done, _all: None,
    ) -> None:
        self._hosts = {host.id: host for host in hosts}
        self._processes = processes
        self._effort = effort
        self._on_step = on_step
        self._lock = threading.Lock()
        self._done = 0
        self._all = 0

    def run(self, links: Sequence[MeasuredLink]) -> list[Finding]:
        """Measure what the rules say of links, in the order of the links; the rate of TCP beside it.

        Raises:
            DeploymentError: A host has no python3 that runs.
        """
        losses = [one for one in links if one.link.loss_share]
        delays = [one for one in links if one.link.delay_s or (one.back is not None and one.back.delay_s)]
        rates = [one for one in links if one.link.rate_bit_s is not None]
        self._done, self._all = 0, len(losses) + len(delays) + len(rates) + len(links)
        findings: list[Finding] = []
        with (
            tempfile.TemporaryDirectory(prefix="optiprov-network-") as directory,
            Prober(self._hosts, self._processes, Path(directory)) as prober,
        ):
            for host in dict.fromkeys(one.link.destination for one in links):
                prober.serve(host)  # they start side by side
            findings += [self._round_trip(prober, one) for one in delays]
            findings += self._losses(prober, losses)
            # What fills queues comes last.
            findings += [self._rate(prober, one) for one in rates]
            findings += [self._tcp(prober, one) for one in links]
        order = {(one.link.source, one.link.destination): number for number, one in enumerate(links)}
        names = (ROUND_TRIP, UDP_RATE, LOSS, TCP_RATE)
        findings.sort(key=lambda one: (order[one.link.source, one.link.destination], names.index(one.name)))
        return findings

    def _losses(self, prober: Prober, links: Sequence[MeasuredLink]) -> list[Finding]:
        """Side by side: what takes long is slow links, which keep nothing busy."""
        with ThreadPoolExecutor(_LOSS_AT_ONCE) as threads:
            try:
                return list(threads.map(lambda one: self._loss(prober, one), links))
            except BaseException:
                prober.close()  # else this waits for the threads, and they for what they measure
                raise

    def _round_trip(self, prober: Prober, one: MeasuredLink) -> Finding:
        link, back = one.link, one.back
        rates = [each.rate_bit_s for each in (link, back) if each is not None and each.rate_bit_s is not None]
        size_bytes = _SMALL_BYTES + HEADER_BYTES
        interval_s = max(_PROBE_INTERVAL_S, *(2 * size_bytes * 8 / rate for rate in rates), 0.0)
        wait_s = 2 * sum(each.delay_s for each in (link, back) if each is not None) + _SPARE_S
        judgement, packets = _nothing(), 0
        self._step(f"round trip {link.source} - {link.destination}")
        for attempt in range(1, _ATTEMPTS + 1):
            packets = self._effort.round_trips * attempt
            times = prober.echo(link.source, link.destination, packets, interval_s, wait_s)
            judgement = judge_round_trip(link, back, times, size_bytes)
            if judgement.outcome != MISSED:
                break
        return Finding(link, one.rules, one.emulator, ROUND_TRIP, packets, judgement)

    def _rate(self, prober: Prober, one: MeasuredLink) -> Finding:
        link = one.link
        rule = link.rate_bit_s or 0.0
        payload_bytes = round(min(_LARGE_BYTES, max(_LEAST_BYTES, rule * _PACKET_S / 8)))
        per_s = _OFFERED_SHARE * rule / (payload_bytes * 8)
        seconds = min(max(self._effort.rate_s, _LEAST_PACKETS / per_s), self._effort.loss_s)
        self._step(f"UDP rate {link.source} > {link.destination}")
        _, told = prober.send(
            link.source,
            link.destination,
            packets=round(per_s * seconds) + 1,
            payload_bytes=payload_bytes,
            packets_per_s=per_s,
            limit_s=seconds,
            wait_s=link.delay_s,
        )
        judgement = judge_rate(link, told["rate_bit_s"], payload_bytes)
        return Finding(link, one.rules, one.emulator, UDP_RATE, int(told["received"]), judgement)

    def _tcp(self, prober: Prober, one: MeasuredLink) -> Finding:
        link = one.link
        self._step(f"TCP {link.source} > {link.destination}")
        buffer_bytes = 0
        if link.rate_bit_s is not None:  # as much as is under way, and little in the queue
            under_way_s = link.delay_s + (one.back.delay_s if one.back is not None else 0.0)
            buffer_bytes = max(_LEAST_BUFFER_BYTES, round(link.rate_bit_s / 8 * (under_way_s + _BUFFER_S)))
        found = prober.tcp(link.source, link.destination, self._effort.tcp_s, buffer_bytes)
        outcome = UNMEASURED if found is None else SHOWN
        judgement = Judgement(link.rate_bit_s, None, None, found, outcome)
        return Finding(link, one.rules, one.emulator, TCP_RATE, 0, judgement)

    def _loss(self, prober: Prober, one: MeasuredLink) -> Finding:
        link = one.link
        per_s = _LOSS_PACKETS_PER_S
        if link.rate_bit_s is not None:
            per_s = min(per_s, _LOSS_RATE_SHARE * link.rate_bit_s / ((_SMALL_BYTES + HEADER_BYTES) * 8))
        self._step(f"loss {link.source} > {link.destination}")
        judgement, sent = _nothing(), 0
        for _ in range(_ATTEMPTS):  # one in a hundred is outside though all is well
            sent, told = prober.send(
                link.source,
                link.destination,
                packets=self._effort.packets,
                payload_bytes=_SMALL_BYTES,
                packets_per_s=per_s,
                limit_s=self._effort.loss_s,
                wait_s=link.delay_s,
            )
            judgement = judge_loss(link, sent - int(told["received"]) - int(told["dropped"]), sent)
            if judgement.outcome != MISSED:
                break
        return Finding(link, one.rules, one.emulator, LOSS, sent, judgement)

    def _step(self, what: str) -> None:
        with self._lock:
            self._on_step(what, self._done, self._all)
            self._done += 1


def _nothing() -> Judgement:
    return Judgement(None, None, None, None, UNMEASURED)
