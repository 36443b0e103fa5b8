"""How the hosts of a play learn about the services that they depend on (E2Clab's groupings)."""

from __future__ import annotations

from collections import Counter
from itertools import cycle
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from optiprov.deploy.models import Dependency

Info = dict[str, Any]

ARRAY_INFO_KEYS: Mapping[str, Callable[[Info], str | None]] = {
    "id": lambda info: str(info["_id"]).replace("_", ""),
    "hostname": lambda info: str(info["__address__"]),
    "url": lambda info: str(info["url"]),
    "g5k_ipv6_hostname": lambda info: info.get("__g5k_ipv6_address__") or info.get("__address6__"),
}


def group(
    dependency: Dependency, hosts: Sequence[Info], services: Sequence[Info]
) -> list[dict[str, Any] | None]:
    """The variables that each host of a play gets from one dependency.

    Args:
        dependency: Which grouping, under which prefix.
        hosts: `_self` of each host of the play.
        services: `_self` of each selected service, in the order of placement.

    Returns:
        One mapping of variables for each host, in the order of the hosts, None for a host that takes
        no part in the play:
        `round_robin` gives `prefix` the services in turn; `asarray` gives `prefix` the list of ids
        (`111`; or of addresses or urls, by `array_info`); `aggregate` gives every host a variable for
        each service (`server1_2`, see `aggregated_names`), and the list of all services as `prefix`;
        `address_match` gives `prefix` the service at the host's own address (its own where that is
        selected, else the first), and leaves out hosts that have none.
    """
    return _GROUPINGS[dependency.grouping](dependency, hosts, services)


def _round_robin(
    dependency: Dependency, hosts: Sequence[Info], services: Sequence[Info]
) -> list[dict[str, Any] | None]:
    turn = cycle(services)
    return [{dependency.prefix: next(turn)} for _ in hosts]


def _asarray(
    dependency: Dependency, hosts: Sequence[Info], services: Sequence[Info]
) -> list[dict[str, Any] | None]:
    element = ARRAY_INFO_KEYS[dependency.array_info]
    return [{dependency.prefix: [element(info) for info in services]} for _ in hosts]


def _aggregate(
    dependency: Dependency, hosts: Sequence[Info], services: Sequence[Info]
) -> list[dict[str, Any] | None]:
    names = aggregated_names(dependency.prefix, [info["_id"] for info in services])
    variables = {dependency.prefix: list(services), **dict(zip(names, services, strict=True))}
    return [dict(variables) for _ in hosts]


def aggregated_names(prefix: str, ids: Sequence[str]) -> list[str]:
    """The variable of each service with the grouping `aggregate`.

    E2Clab's name is prefix, service id and machine id. Services of several layers may have the same
    ones; their names have the layer's id too, so that none hides another.

    >>> aggregated_names("s", ["1_1_1", "1_1_2", "2_1_2"])
    ['s1_1', 's1_1_2', 's2_1_2']
    """
    short = [each.split("_", 1)[1] for each in ids]
    counts = Counter(short)
    return [prefix + (name if counts[name] == 1 else each) for name, each in zip(short, ids, strict=True)]


def _address_match(
    dependency: Dependency, hosts: Sequence[Info], services: Sequence[Info]
) -> list[dict[str, Any] | None]:
    return [_at_address(dependency.prefix, host, services) for host in hosts]


def _at_address(prefix: str, host: Info, services: Sequence[Info]) -> dict[str, Any] | None:
    there = [info for info in services if info["__address__"] == host["__address__"]]
    own = [info for info in there if _identity(info) == _identity(host)]
    return {prefix: (own or there)[0]} if there else None


def _identity(info: Info) -> Any:
    """What tells hosts apart: sub services of one service have the same numbers."""
    return info.get("host_id", info["_id"])


_GROUPINGS = {
    "round_robin": _round_robin,
    "asarray": _asarray,
    "aggregate": _aggregate,
    "address_match": _address_match,
}
