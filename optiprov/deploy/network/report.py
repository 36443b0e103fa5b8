"""What was measured of links, written down: a table for programs, one for people, and a plot a property."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from optiprov.deploy.network.verdict import CAPPED, LOSS, MISSED, ROUND_TRIP, SHOWN, TCP_RATE, UDP_RATE, UNITS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from optiprov.deploy.network.base import Link
    from optiprov.deploy.network.verdict import Finding

DIRECTORY = "network-validate"
CSV_NAME, TEXT_NAME = "network.csv", "network.txt"
_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_COLUMNS = ("source", "destination", "rules", "emulator", "property", "unit", "expected", "low", "high")
_TITLES = {
    ROUND_TRIP: "round trip, there and back",
    UDP_RATE: "rate of UDP, payload",
    LOSS: "loss",
    TCP_RATE: "rate of TCP",
}
_NOTES = {
    MISSED: "missed: outside what the rules allow.",
    CAPPED: "capped: no more than this gets through, for the emulator or for what measures; the rule holds.",
    SHOWN: "shown: beside the rules, which TCP follows as far as delay and loss let it.",
}
_BAR_HEIGHT = 0.35


def write_report(directory: Path, findings: Sequence[Finding]) -> Path:
    """Write what was measured below a directory of an experiment; return where.

    Files: `network.csv` and `network.txt`, and `<property>.png` of each property that was measured.
    """
    place = directory / DIRECTORY
    place.mkdir(parents=True, exist_ok=True)
    _write_csv(place / CSV_NAME, findings)
    (place / TEXT_NAME).write_text(as_text(findings) + "\n", encoding="utf-8")
    for name in UNITS:
        of_property = [one for one in findings if one.name == name and one.judgement.measured is not None]
        (place / f"{name}.png").unlink(missing_ok=True)
        if of_property:
            _plot(place / f"{name}.png", name, of_property)
    return place


def as_text(findings: Sequence[Finding]) -> str:
    """What was measured as a table, with the meaning of outcomes below it."""
    rows = [("from", "to", "line", "property", "expected", "measured", "packets", "outcome")]
    for one in findings:
        judgement, unit = one.judgement, UNITS[one.name]
        rows.append(
            (
                *(one.link.source, one.link.destination, _lines(one.rules), one.name.replace("_", " ")),
                *(_expected(one), quantity(judgement.measured, unit)),
                *(str(one.samples or "-"), judgement.outcome),
            )
        )
    outcomes = dict.fromkeys(one.judgement.outcome for one in findings)
    notes = [_NOTES[outcome] for outcome in outcomes if outcome in _NOTES]
    emulators = ", ".join(dict.fromkeys(one.emulator for one in findings)) or "none"
    return "\n".join([*aligned(rows), f"emulated: {emulators}", *notes])


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def link_rows(links: Sequence[tuple[Link, Sequence[int], str]]) -> list[tuple[str, ...]]:
    """Rows for links: the hosts, delay, rate, loss, lines of the rules, and what becomes of them."""
    rows: list[tuple[str, ...]] = [("from", "to", "delay", "rate", "loss", "line", "emulated")]
    for link, rules, emulated in links:
        delay = quantity(link.delay_s * 1e3, "ms") if link.delay_s else "-"
        rate = "-" if link.rate_bit_s is None else quantity(link.rate_bit_s, "bit/s")
        loss = quantity(link.loss_share * 100, "%") if link.loss_share else "-"
        rows.append((link.source, link.destination, delay, rate, loss, _lines(rules), emulated))
    return rows


def quantity(value: float | None, unit: str) -> str:
    """A value with its unit, as people read it.

    >>> quantity(1e9, "bit/s"), quantity(56.0, "ms"), quantity(None, "%")
    ('1 Gbit/s', '56 ms', '-')
    """
    if value is None:
        return "-"
    if unit == "bit/s":
        for factor, prefix in _PREFIXES:
            if abs(value) >= factor:
                return f"{value / factor:.4g} {prefix}{unit}"
    return f"{value:.4g} {unit}"


def _lines(rules: Sequence[int]) -> str:
    return ",".join(map(str, rules)) or "-"


def _expected(one: Finding) -> str:
    judgement, unit = one.judgement, UNITS[one.name]
    told = quantity(judgement.expected, unit)
    if judgement.high is None:
        return told
    if judgement.low is None:
        return f"at most {told}"
    return f"{told} ({judgement.low:.4g} to {judgement.high:.4g})"


def _write_csv(path: Path, findings: Sequence[Finding]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*_COLUMNS, "measured", "packets", "outcome"])
        for one in findings:
            judgement = one.judgement
            writer.writerow(
                [
                    *(one.link.source, one.link.destination, " ".join(map(str, one.rules)), one.emulator),
                    *(one.name, UNITS[one.name], judgement.expected, judgement.low, judgement.high),
                    *(judgement.measured, one.samples, judgement.outcome),
                ]
            )


def _plot(path: Path, name: str, findings: Sequence[Finding]) -> None:
    """Bars of what is expected and of what was measured, a pair of them for each link."""
    from matplotlib.figure import Figure  # importing it takes longer than writing all else

    figure = Figure(figsize=(8, 1.5 + 0.5 * len(findings)), layout="constrained")
    axes = figure.subplots()
    for position, one in enumerate(findings):
        judgement = one.judgement
        is_first = position == 0
        if judgement.expected is not None:
            axes.barh(
                position - _BAR_HEIGHT / 2,
                judgement.expected,
                _BAR_HEIGHT,
                color="0.75",
                label="expected" if is_first else None,
            )
        axes.barh(
            position + _BAR_HEIGHT / 2,
            judgement.measured or 0.0,
            _BAR_HEIGHT,
            color="tab:red" if judgement.outcome == MISSED else "tab:blue",
            label="measured" if is_first else None,
        )
    axes.set_yticks(
        range(len(findings)), [f"{one.link.source} to {one.link.destination}" for one in findings]
    )
    axes.invert_yaxis()
    axes.set_xlabel(f"{_TITLES[name]}, {UNITS[name]}")
    figure.legend(loc="outside upper right", ncols=2)
    figure.savefig(path, metadata={"Software": None})
