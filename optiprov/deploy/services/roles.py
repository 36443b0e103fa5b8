"""Roles: names, each for some of the hosts of a service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optiprov.deploy.services.hosts import ServiceHost


class Roles(dict[str, Any]):
    """A mapping of role names to lists of hosts, as EnOSlib has it.

    >>> Roles({"master": ["a"], "worker": ["b", "a"]}).all()
    ['a', 'b']
    """

    def all(self) -> list[Any]:
        """Its hosts, each once, in the order of the roles."""
        return unique(self)


def unique(hosts: Any) -> list[ServiceHost]:
    """The hosts in a host, a list of such or a mapping of roles, each once."""
    return list(dict.fromkeys(_flat(hosts)))


def _flat(hosts: Any) -> Iterable[Any]:
    if isinstance(hosts, Mapping):
        for each in hosts.values():
            yield from _flat(each)
    elif isinstance(hosts, list | tuple | set):
        for each in hosts:
            yield from _flat(each)
    else:
        yield hosts
