"""The rules of network.yaml as links: templates rendered, patterns made pairs of hosts."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from optiprov.deploy.frozen import frozen
from optiprov.deploy.models.network import PROPERTIES
from optiprov.deploy.network.base import Link
from optiprov.deploy.selection import select
from optiprov.deploy.templating import TemplateError, render
from optiprov.errors import DeploymentError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from optiprov.deploy.models import Network
    from optiprov.deploy.selection import Host

Pair = tuple[str, str]

_CONFIGURATION = "optimization_config"
_BY_HAND = (
    " A launch by hand has no configuration: run the scenario in an optimization, or give the template a "
    "default, such as {{ optimization_config.delay_ms | default(10) }}."
)


@frozen
class RuledLink:
    """A link, and the rules that make it.

    Attributes:
        link: What lies between the two hosts.
        rules: The lines of network.yaml where they stand, in their order.
    """

    link: Link
    rules: tuple[int, ...]

    @property
    def is_ruled(self) -> bool:
        """Whether anything lies there: `delay: 0ms` alone is nothing."""
        link = self.link
        return bool(link.delay_s or link.rate_bit_s is not None or link.loss_share)


def rendered(rules: Sequence[Network], variables: Mapping[str, Any], path: Path) -> tuple[Network, ...]:
    """The rules with the templates in them rendered.

    Args:
        rules: The rules of a scenario.
        variables: What their templates may use.
        path: The file, for messages.

    Raises:
        DeploymentError: A template cannot be rendered, or renders to what is no delay, rate or loss.
    """
    return tuple(_rendered(rule, variables, path) for rule in rules)


def renderable(rules: Sequence[Network], variables: Mapping[str, Any]) -> list[Network]:
    """The rules whose templates have all the variables that they use, as they stand in the file."""
    return [rule for rule in rules if not _lacks_variables(rule, variables)]


def _lacks_variables(rule: Network, variables: Mapping[str, Any]) -> bool:
    try:
        render(dict(rule.templates), variables)
    except TemplateError:
        return True
    return False


def _rendered(rule: Network, variables: Mapping[str, Any], path: Path) -> Network:
    values = {}
    for name, template in rule.templates.items():
        where = f"{path}:{rule.line}: networks.{name}"
        try:
            value = render(template, variables)
        except TemplateError as error:
            is_by_hand = _CONFIGURATION in str(template) and not variables.get(_CONFIGURATION)
            message = f"{where}: {template!r} cannot be rendered: {error}.{_BY_HAND if is_by_hand else ''}"
            raise DeploymentError(message) from error
        if problem := PROPERTIES[name].problem(value):
            raise DeploymentError(f"{where}: {template!r} is rendered: {problem}")
        values[name] = value
    return dataclasses.replace(rule, **values) if values else rule


def make_links(rules: Sequence[Network], hosts: Sequence[Host]) -> list[RuledLink]:
    """The links that rendered rules ask for, ordered by source and destination as the hosts are.

    Where several rules are for the same two hosts, the last one that gives a property holds for it. No
    rule is for a host and itself.
    """
    numbers: dict[Pair, dict[str, Any]] = {}
    lines: dict[Pair, tuple[int, ...]] = {}
    for rule in rules:
        given = {"delay_s": rule.delay_s, "rate_bit_s": rule.rate_bit_s, "loss_share": rule.loss_share}
        given = {name: value for name, value in given.items() if value is not None}
        for pair in dict.fromkeys(pairs_of(rule, hosts)):
            numbers[pair] = {**numbers.get(pair, {}), **given}
            lines[pair] = (*lines.get(pair, ()), rule.line)
    order = {host.id: position for position, host in enumerate(hosts)}
    pairs = sorted(numbers, key=lambda pair: (order[pair[0]], order[pair[1]]))
    return [RuledLink(Link(*pair, **numbers[pair]), lines[pair]) for pair in pairs]


def pairs_of(rule: Network, hosts: Sequence[Host]) -> Iterator[Pair]:
    """The pairs of hosts that a rule is for; one that is symmetric names some twice."""
    sources, destinations = select(rule.src, hosts), select(rule.dst, hosts)
    for source in sources:
        for destination in destinations:
            if source.id != destination.id:
                yield source.id, destination.id
                if rule.symmetric:
                    yield destination.id, source.id
