"""What a benchmark consists of: measurements, their figures, and the lines of its table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Side = Literal["own", "peer"]


@dataclass(frozen=True)
class Measurement:
    """A script that prints its figures as one line of JSON.

    Attributes:
        name: by which lines refer to it.
        script: the file, without its ending.
        options: what it is given; `{stores}` stands for the directory of the stores that are kept.
        quick: what it is given in the short mode.
        times: how often it runs; the median counts.
        side: whose virtual environment it needs.
        folder: the experiment that has the script.
    """

    name: str
    script: str
    options: tuple[str, ...] = ()
    quick: tuple[str, ...] = ()
    times: int = 5
    side: Side = "own"
    folder: str = "overhead"


@dataclass(frozen=True)
class Figure:
    """A figure of a measurement."""

    measurement: str
    key: str


@dataclass(frozen=True)
class Line:
    """A line of the table.

    Attributes:
        what: what is measured.
        unit: its unit.
        own: optiprov's figure.
        bar: what it may be at most; None where it is told, not judged.
        peer: what it is compared with.
        peer_name: who that is.
        factor: how many times less than the peer's it has to be; below 1, how many times more it may be.
    """

    what: str
    unit: str
    own: Figure
    bar: float | None = None
    peer: Figure | None = None
    peer_name: str = ""
    factor: float | None = None
