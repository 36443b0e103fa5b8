"""The patterns of a scenario against the hosts that it has."""

from __future__ import annotations

import re
from dataclasses import field
from typing import TYPE_CHECKING, Any, Protocol

from optiprov.deploy.frozen import frozen
from optiprov.deploy.placement import place
from optiprov.deploy.problems import suggestion
from optiprov.deploy.selection import Selectable, select, spellings
from optiprov.deploy.validation import elements

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optiprov.deploy.models import LayersServices
    from optiprov.deploy.problems import Problems
    from optiprov.deploy.services.finding import FoundServices
    from optiprov.deploy.yaml_source import KeyPath, YamlSource

LISTED = 8


@frozen
class _GuessedHost:
    id: str
    roles: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    numeric_id: str = ""


class KnownHost(Selectable, Protocol):
    """A host as far as the files tell of it."""

    @property
    def numeric_id(self) -> str:
        """The numbers of layer, service and machine, such as `1_1_2`."""

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The metadata of its service."""


@frozen
class KnownHosts:
    """The hosts that patterns may select.

    Attributes:
        hosts: The hosts.
        is_guess: Whether layers_services.yaml has problems, so that only names of layers and
            services are known, not the number of hosts.
        registering: The names of services, in lower case, whose classes register what patterns select, with
            the texts in each class (what it calls sub services and roles is among them), None if not known.
    """

    hosts: Sequence[KnownHost]
    is_guess: bool = False
    registering: Mapping[str, frozenset[str] | None] = field(default_factory=dict)

    def check(self, source: YamlSource, key_path: KeyPath, pattern: Any, problems: Problems) -> None:
        """Report a pattern that selects nothing."""
        if not isinstance(pattern, str) or not self.hosts:
            return
        if select(pattern, self.hosts) or (self.is_guess and self._names_match(pattern)):
            return
        if self.may_register(pattern):
            return
        known = spellings(self.hosts)
        listed = ", ".join(known[:LISTED]) + (", ..." if len(known) > LISTED else "")
        hint = suggestion(pattern.removesuffix(".*"), known, cutoff=0.5)
        source.report(
            problems, key_path, f"got {pattern!r}, which matches no service. {hint}There are: {listed}."
        )

    def of_files(self) -> KnownHosts:
        """The hosts as the files have them: networks lie between these, not between what is registered."""
        return KnownHosts(self.hosts, self.is_guess)

    def may_register(self, pattern: Any) -> bool:
        """Whether classes of services may register what a pattern selects, under other names and keys."""
        if not self.registering or not isinstance(pattern, str):
            return False
        hosts = [host for host in self.hosts if host.id.split(".")[1] in self.registering]
        parts = re.split(r"[:,](?![^\[]*\])", pattern.lower())
        return any(self._may_be(part.strip().lstrip("!&"), hosts) for part in parts)

    def _may_be(self, part: str, hosts: Sequence[KnownHost]) -> bool:
        names = part.split(".")
        below = [name for name in names[2:] if not (name.isdigit() or set(name) & set("*?["))]
        found = select(".".join(names[:2]), hosts)
        words = [self.registering[host.id.split(".")[1]] for host in found or hosts]
        if found:
            return any(known is None or known.issuperset(below) for known in words)
        return any(known is None or part in known for known in words)

    def _names_match(self, pattern: str) -> bool:
        return bool(select(".".join(pattern.split(".")[:2]), self.hosts))


def known_hosts(
    source: YamlSource, content: LayersServices | None, services: FoundServices | None = None
) -> KnownHosts:
    """The hosts of a layers_services.yaml; what can be told of them where it has problems.

    Args:
        source: The file.
        content: What it says, None where it has problems.
        services: The classes that deploy its services, None without any.
    """
    registering = services.names if services is not None else {}
    if content is not None:
        return KnownHosts(place(content), registering=registering)
    hosts = [
        _GuessedHost(f"{layer['name']}.{service['name']}.{index}.1".lower(), _roles(service), service)
        for _, layer in elements(source.value, "layers")
        for index, (_, service) in enumerate(elements(layer, "services"), 1)
        if "name" in layer and "name" in service
    ]
    return KnownHosts(hosts, is_guess=True, registering=registering)


def _roles(service: dict[str, Any]) -> tuple[str, ...]:
    roles = service.get("roles")
    return tuple(str(role) for role in roles) if isinstance(roles, list) else ()
