"""What is measured of deploying, how often, and what each figure is held against."""

from __future__ import annotations

from experiments.overhead.measurement import Figure, Line, Measurement

_FOLDER = "deploy_overhead"
_EIGHT = ("deploy", "eight_plays")
_HUNDRED = ("deploy", "hundred_hosts")
_CHECK = ("check", "eight_plays")
_PEER = "ansible-core"

MEASUREMENTS = (
    Measurement("eight_plays", "command", _EIGHT, _EIGHT, folder=_FOLDER),
    Measurement("ansible", "ansible_run", ("eight_plays",), ("eight_plays",), side="peer", folder=_FOLDER),
    Measurement("hundred_hosts", "command", _HUNDRED, _HUNDRED, times=3, folder=_FOLDER),
    Measurement("check", "command", _CHECK, _CHECK, folder=_FOLDER),
)

LINES = (
    Line(
        "eight plays on two local hosts, `deploy` as a command",
        "s",
        Figure("eight_plays", "wall_s"),
        0.5,
        Figure("ansible", "wall_s"),
        _PEER,
        20,
    ),
    Line(
        "the same: CPU of all processes",
        "s",
        Figure("eight_plays", "cpu_s"),
        None,
        Figure("ansible", "cpu_s"),
        _PEER,
    ),
    Line("five tasks on each of 100 local hosts, `deploy`", "s", Figure("hundred_hosts", "wall_s"), 10),
    Line("the same: CPU of all processes", "s", Figure("hundred_hosts", "cpu_s")),
    Line("`optiprov check` of the eight plays", "s", Figure("check", "wall_s"), 0.3),
)
