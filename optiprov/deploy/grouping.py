"""How the hosts of a play learn about the services that they depend on (E2Clab's groupings)."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from optiprov.deploy.models import Dependency

Info = dict[str, Any]

ARRAY_INFO_KEYS: Mapping[str, Callable[[Info], str]] = {
    "id": lambda info: str(info["_id"]).replace("_", ""),
    "hostname": lambda info: str(info["__address__"]),
    "url": lambda info: str(info["url"]),
}


def group(dependency: Dependency, hosts: int, services: Sequence[Info]) -> list[dict[str, Any]]:
    """The variables that each host of a play gets from one dependency.

    Args:
        dependency: Which grouping, under which prefix.
        hosts: How many hosts the play has.
        services: `_self` of each selected service, in the order of placement.

    Returns:
        One mapping of variables for each host, in the order of the hosts:
        `round_robin` gives `prefix` the services in turn; `asarray` gives `prefix` the list of ids
        (`111`; or of addresses or urls, by `array_info`); `aggregate` gives every host a variable
        for each service, named prefix, service id and machine id (`server1_2`), and the list of
        all services as `prefix`.
    """
    return _GROUPINGS[dependency.grouping](dependency, hosts, services)


def _round_robin(dependency: Dependency, hosts: int, services: Sequence[Info]) -> list[dict[str, Any]]:
    turn = cycle(services)
    return [{dependency.prefix: next(turn)} for _ in range(hosts)]


def _asarray(dependency: Dependency, hosts: int, services: Sequence[Info]) -> list[dict[str, Any]]:
    element = ARRAY_INFO_KEYS[dependency.array_info]
    return [{dependency.prefix: [element(info) for info in services]} for _ in range(hosts)]


def _aggregate(dependency: Dependency, hosts: int, services: Sequence[Info]) -> list[dict[str, Any]]:
    variables: dict[str, Any] = {dependency.prefix: list(services)}
    for info in services:
        variables[f"{dependency.prefix}{info['service_id']}_{info['machine_id']}"] = info
    return [dict(variables) for _ in range(hosts)]


_GROUPINGS = {"round_robin": _round_robin, "asarray": _asarray, "aggregate": _aggregate}
