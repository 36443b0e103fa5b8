"""Patterns that select hosts, as in `hosts`, `service_selector`, `src` and `dst`."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


_WILDCARDS = re.compile(r"[*?[]")


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
    `!` excludes and `&` intersects, from all hosts where nothing else is named. Case does not matter.
    """
    parts = [part.strip().lower() for part in re.split(r"[:,](?![^\[]*\])", pattern) if part.strip()]
    wanted = [part for part in parts if part[0] not in "!&"] or (["*"] if parts else [])
    all_of = [part[1:] for part in parts if part[0] == "&"]
    none_of = [part[1:] for part in parts if part[0] == "!"]
    return [
        host
        for host, names in ((host, (host.id, *(role.lower() for role in host.roles))) for host in hosts)
        if any(_matches(part, names) for part in wanted)
        and all(_matches(part, names) for part in all_of)
        and not any(_matches(part, names) for part in none_of)
    ]


def _matches(pattern: str, names: tuple[str, ...]) -> bool:
    """Whether a pattern is for a host of these names: its id, then its roles."""
    if pattern in {"*", "all"}:
        return True
    if not _WILDCARDS.search(pattern):
        return pattern in names or names[0].startswith(f"{pattern}.")
    return fnmatchcase(names[0], f"{pattern}.*") or any(fnmatchcase(name, pattern) for name in names)


def spellings(hosts: Iterable[Selectable]) -> list[str]:
    """The patterns without wildcards that match something: ids, their leading parts, roles."""
    found: dict[str, None] = {}
    for host in hosts:
        parts = host.id.split(".")
        for length in range(1, len(parts) + 1):
            found[".".join(parts[:length])] = None
        found.update(dict.fromkeys(host.roles))
    return list(found)
