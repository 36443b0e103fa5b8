"""The patterns of a scenario against the hosts that it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optiprov.deploy.problems import suggestion
from optiprov.deploy.selection import select, spellings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optiprov.deploy.problems import Problems
    from optiprov.deploy.selection import Selectable
    from optiprov.deploy.yaml_source import KeyPath, YamlSource

LISTED = 8


@dataclass(frozen=True)
class _GuessedHost:
    id: str
    roles: tuple[str, ...] = ()


@dataclass(frozen=True)
class KnownHosts:
    """The hosts that patterns may select.

    Attributes:
        hosts: The hosts.
        is_guess: Whether layers_services.yaml has problems, so that only names of layers and
            services are known, not the number of hosts.
    """

    hosts: Sequence[Selectable]
    is_guess: bool = False

    @classmethod
    def guessed(cls, value: Any) -> KnownHosts:
        """What can be told from a layers_services.yaml that has problems."""
        hosts = [
            _GuessedHost(f"{layer['name']}.{service['name']}.{index}.1".lower())
            for layer in _mappings(value, "layers")
            for index, service in enumerate(_mappings(layer, "services"), 1)
            if "name" in layer and "name" in service
        ]
        return cls(hosts, is_guess=True)

    def check(self, source: YamlSource, key_path: KeyPath, pattern: Any, problems: Problems) -> None:
        """Report a pattern that selects nothing."""
        if not isinstance(pattern, str) or not self.hosts:
            return
        if select(pattern, self.hosts) or (self.is_guess and self._names_match(pattern)):
            return
        known = spellings(self.hosts)
        listed = ", ".join(known[:LISTED]) + (", ..." if len(known) > LISTED else "")
        hint = suggestion(pattern.removesuffix(".*"), known, cutoff=0.5)
        source.report(
            problems, key_path, f"got {pattern!r}, which matches no service. {hint}There are: {listed}."
        )

    def _names_match(self, pattern: str) -> bool:
        return bool(select(".".join(pattern.split(".")[:2]), self.hosts))


def _mappings(value: Any, key: str) -> list[dict[str, Any]]:
    elements = value.get(key) if isinstance(value, dict) else None
    return (
        [element for element in elements if isinstance(element, dict)] if isinstance(elements, list) else []
    )
