"""The table of a benchmark: as text, as JSON, and as a picture."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from experiments.overhead.plan import LINES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from experiments.overhead.measurement import Figure, Line


@dataclass(frozen=True)
class Spread:
    """The median of several runs, the least and the greatest."""

    median: float
    least: float
    greatest: float

    def __str__(self) -> str:
        """Write it as `median [least..greatest]`, in three digits."""
        if self.least == self.greatest:
            return _digits(self.median)
        return f"{_digits(self.median)} [{_digits(self.least)}..{_digits(self.greatest)}]"


@dataclass(frozen=True)
class Row:
    """A line of the table with its figures."""

    line: Line
    own: Spread | None
    peer: Spread | None
    missing: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times optiprov's figure the peer's is."""
        return self.peer.median / self.own.median if self.own and self.peer and self.own.median else None

    @property
    def verdict(self) -> str:
        """Whether the figure meets its bar and its factor: "met", "MISSED", "not measured", or nothing."""
        if self.line.bar is None and self.line.factor is None:
            return "" if self.own else "not measured"
        if self.own is None:
            return "not measured"
        if self.line.bar is not None and self.own.median > self.line.bar:
            return "MISSED"
        if self.line.factor is None:
            return "met"
        if self.ratio is None:
            return "met, peer not measured" if self.line.bar is not None else "not measured"
        return "met" if self.ratio >= self.line.factor else "MISSED"

    @property
    def bar(self) -> str:
        """What the figure is held against."""
        parts = [] if self.line.bar is None else [f"<= {self.line.bar:g} {self.line.unit}"]
        if self.line.factor is not None:
            at_least = self.line.factor >= 1
            parts.append(f">= {self.line.factor:g}x less" if at_least else f"<= {1 / self.line.factor:g}x")
        return ", ".join(parts)


def rows_of(runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Row]:
    """Return the rows of the table.

    Args:
        runs: what each run of each measurement has printed, by the measurement's name; a measurement whose
            parts are not there has printed `missing`, with the reason.
    """
    return [
        Row(line, _spread(runs, line.own), _spread(runs, line.peer) if line.peer else None) for line in LINES
    ]


def _spread(runs: Mapping[str, Sequence[Mapping[str, Any]]], figure: Figure) -> Spread | None:
    values = [float(run[figure.key]) for run in runs.get(figure.measurement, ()) if figure.key in run]
    return Spread(statistics.median(values), min(values), max(values)) if values else None


def write_table(rows: Sequence[Row], machine: Mapping[str, Any]) -> str:
    """Return the table as Markdown, with the machine below it."""
    cells = [["what", "bar", "optiprov", "peer", "peer / optiprov", ""]]
    for row in rows:
        own = f"{row.own} {row.line.unit}" if row.own else "not measured"
        peer = "" if row.line.peer is None else f"{row.line.peer_name}: {row.peer or 'not measured'}"
        ratio = f"{_digits(row.ratio)}x" if row.ratio is not None else ""
        cells.append([row.line.what, row.bar, own, peer, ratio, row.verdict])
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    lines = [_line(line, widths) for line in cells]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    about = [f"- {name}: {value}" for name, value in machine.items()]
    return "\n".join([*lines, "", "Medians of several runs [least..greatest].", "", *about]) + "\n"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"


def write_results(
    directory: Path,
    rows: Sequence[Row],
    runs: Mapping[str, Sequence[Mapping[str, Any]]],
    machine: Mapping[str, Any],
) -> None:
    """Write table.md, table.json (with every run) and overhead.png into a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "table.md").write_text(write_table(rows, machine), encoding="utf-8")
    listed = [
        {
            "what": row.line.what,
            "unit": row.line.unit,
            "bar": row.line.bar,
            "factor": row.line.factor,
            "optiprov": asdict(row.own) if row.own else None,
            "peer_name": row.line.peer_name or None,
            "peer": asdict(row.peer) if row.peer else None,
            "ratio": row.ratio,
            "verdict": row.verdict,
        }
        for row in rows
    ]
    content = {"machine": machine, "lines": listed, "runs": runs}
    (directory / "table.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    plot(rows, directory / "overhead.png")


_FROM, _TO = "<!-- the table of make bench -->", "<!-- its end -->"


def cite(page: Path, text: str) -> None:
    """Put a table in the place of the one in a page, between the comments that mark it."""
    before, _, rest = page.read_text(encoding="utf-8").partition(_FROM)
    after = rest.partition(_TO)[2]
    page.write_text(f"{before}{_FROM}\n\n{text}\n{_TO}{after}", encoding="utf-8")


def cited(page: Path) -> str:
    """Return the table in a page."""
    return page.read_text(encoding="utf-8").partition(_FROM)[2].partition(_TO)[0].strip() + "\n"


def plot(rows: Sequence[Row], path: Path) -> None:
    """Draw optiprov's figures beside their peers' and their bars, on a logarithmic scale."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    shown = [row for row in rows if row.own and row.own.median > 0 and (row.line.bar or row.peer)]
    figure, axes = plt.subplots(figsize=(9, 1 + 0.55 * len(shown)), layout="constrained")
    for place, row in enumerate(reversed(shown)):
        assert row.own is not None
        axes.barh(place + 0.18, row.own.median, 0.34, color="#1f6f8b")
        if row.peer is not None:
            axes.barh(place - 0.18, row.peer.median, 0.34, color="#c9ada7")
            axes.text(row.peer.median, place - 0.18, f" {row.line.peer_name}", va="center", fontsize=7)
        if row.line.bar is not None:
            axes.plot([row.line.bar] * 2, [place, place + 0.36], color="#d62828", linewidth=2)
    axes.set_yticks(
        range(len(shown)), [f"{row.line.what} ({row.line.unit})" for row in reversed(shown)], fontsize=8
    )
    axes.set_xscale("log")
    axes.margins(x=0.25)
    axes.set_title("optiprov (blue), its bars (red) and its peers (grey): less is better", fontsize=9)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _digits(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
