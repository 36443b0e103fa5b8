from dataclasses import dataclass

import pytest

from optiprov.deploy.selection import select, spellings


@dataclass(frozen=True)
class Named:
    """A host as patterns see it."""

    id: str
    roles: tuple = ()


HOSTS = [
    Named("cloud.master.1.1"),
    Named("edge.worker.1.1", ("Client",)),
    Named("edge.worker.1.2", ("Client",)),
    Named("edge.probe.2.1"),
]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*", [0, 1, 2, 3]),
        ("all", [0, 1, 2, 3]),
        ("cloud", [0]),
        ("cloud.master.*", [0]),
        ("edge.worker.1", [1, 2]),
        ("Edge.Worker.1.2", [2]),
        ("edge.*.1.1", [1]),
        ("client", [1, 2]),
        ("cloud:edge.probe", [0, 3]),
        ("edge,!client", [3]),
        ("edge:&client:!*.2", [1]),
        ("edge.work", []),
    ],
)
def test_select_gives_hosts_in_order_when_pattern_matches(pattern, expected):
    """Patterns are ids, their leading parts and roles, with wildcards, unions and exclusions."""
    assert select(pattern, HOSTS) == [HOSTS[index] for index in expected]


def test_spellings_are_the_plain_patterns_there_are():
    """Suggestions come from ids, their leading parts and roles."""
    assert spellings(HOSTS[1:2]) == ["edge", "edge.worker", "edge.worker.1", "edge.worker.1.1", "Client"]
