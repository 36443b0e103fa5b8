"""The testbed `g5k`: Grid'5000, through EnOSlib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optiprov.deploy.models.environment import Grid5000
from optiprov.deploy.providers.enoslib import (
    EnoslibProvider,
    Group,
    cluster,
    import_enoslib,
    job_name,
    walltime,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from optiprov.deploy.models.environment import FirewallRule
    from optiprov.deploy.placement import Placement
    from optiprov.deploy.providers.base import HostRequest

IPV6_COMMAND = "dhclient -6 br0"
"""What has a host of Grid'5000 get an IPv6 address (https://www.grid5000.fr/w/IPv6)."""


class G5kProvider(EnoslibProvider):
    """Machines of Grid'5000: a job of OAR, with an environment of Kadeploy where the scenario names one."""

    testbed = "g5k"

    def configuration(self, groups: Sequence[Group], request: HostRequest) -> Any:
        """The `G5kConf`: what the key `g5k` says, and a group of machines for each service."""
        environment, asked = request.testbeds, _asked(request)
        settings = {
            "job_name": job_name(request, asked),
            "walltime": walltime(environment, asked),
            "queue": asked.queue,
            "reservation": asked.reservation,
            "job_type": list(asked.job_type),
            "env_name": asked.env_name,
            "key": asked.key_name,
            "monitor": asked.monitor,
        }
        given = {name: value for name, value in settings.items() if value is not None}
        configuration = import_enoslib(self.testbed).G5kConf.from_settings(**given)
        for one in groups:
            if one.servers:
                configuration.add_machine(roles=[one.role], servers=list(one.servers))
            else:
                place = cluster(one.first, environment, asked)
                configuration.add_machine(roles=[one.role], cluster=place, nodes=len(one.placements))
        return configuration

    def read_configuration(self, journalled: Any) -> Any:
        """The `G5kConf` of a reservation."""
        return import_enoslib(self.testbed).G5kConf.from_dictionary(journalled)

    def reserving(self, configuration: Any) -> Any:
        """EnOSlib's `G5k`."""
        return import_enoslib(self.testbed).G5k(configuration)

    def made_ready(self, reserving: Any, hosts: dict[str, Any], request: HostRequest) -> None:
        """Have IPv6 addresses, and ports open to other testbeds, where the scenario asks for them."""
        asked = _asked(request)
        if asked.ipv6:
            import_enoslib(self.testbed).run(
                IPV6_COMMAND, roles=list(hosts.values()), task_name="Getting IPv6 addresses"
            )
        placements = {one.id: one for one in request.placements}
        for rule in (*asked.firewall_rules, *request.firewall_rules):
            chosen = [hosts[one] for one in hosts if _is_reached(rule, placements[one])]
            if not chosen:
                continue
            if rule.ports:
                reserving.fw_create(hosts=chosen, port=list(rule.ports), proto=rule.proto)
            else:
                reserving.fw_create(hosts=chosen, proto="all")


def _asked(request: HostRequest) -> Grid5000:
    return (request.testbeds.g5k if request.testbeds is not None else None) or Grid5000()


def _is_reached(rule: FirewallRule, placement: Placement) -> bool:
    """Whether a rule names the layer, the service or a role of a host."""
    own = {placement.layer.lower(), placement.service.lower(), *_lower(placement.roles)}
    return any(name in own for name in _lower(rule.services))


def _lower(names: Sequence[str]) -> Iterator[str]:
    return (name.lower() for name in names)
