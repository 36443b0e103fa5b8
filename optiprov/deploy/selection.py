"""Patterns that select hosts, as in `hosts`, `service_selector`, `src` and `dst`."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Selectable(Protocol):
    """What patterns select: anything with a host id and roles."""

    @property
    def id(self) -> str:
        """The host id, `layer.service.service_id.machine_id`."""

    @property
    def roles(self) -> Sequence[str]:
        """The roles of the host's service."""


Host = TypeVar("Host", bound=Selectable)


def select(pattern: str, hosts: Iterable[Host]) -> list[Host]:
    """The hosts that a pattern matches, in the order given.

    A pattern is a host id, the leading parts of one (`cloud`, `edge.worker`, `edge.worker.1`) or a
    role, with `*`, `?` and `[...]`; `all` is `*`. As in Ansible, patterns are joined by `:` or `,`,
    `!` excludes and `&` intersects. Case does not matter.
    """
    parts = [part.strip().lower() for part in re.split(r"[:,](?![^\[]*\])", pattern) if part.strip()]
    wanted = [part for part in parts if part[0] not in "!&"]
    return [
        host
        for host in hosts
        if any(_matches(part, host) for part in wanted)
        and all(_matches(part[1:], host) for part in parts if part[0] == "&")
        and not any(_matches(part[1:], host) for part in parts if part[0] == "!")
    ]


def _matches(pattern: str, host: Selectable) -> bool:
    if pattern in {"*", "all"}:
        return True
    return (
        fnmatchcase(host.id, pattern)
        or fnmatchcase(host.id, f"{pattern}.*")
        or any(fnmatchcase(role.lower(), pattern) for role in host.roles)
    )


def spellings(hosts: Iterable[Selectable]) -> list[str]:
    """The patterns without wildcards that match something: ids, their leading parts, roles."""
    found: dict[str, None] = {}
    for host in hosts:
        parts = host.id.split(".")
        for length in range(1, len(parts) + 1):
            found[".".join(parts[:length])] = None
        found.update(dict.fromkeys(host.roles))
    return list(found)
