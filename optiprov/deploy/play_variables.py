"""The variables of a play's hosts: those of the scenario, those that Ansible has, those of tasks before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from optiprov.deploy.templating import render

if TYPE_CHECKING:
    from optiprov.deploy.providers.base import Host
    from optiprov.deploy.workbench import Workbench
    from optiprov.deploy.workflow import Play


class HostVariables(Mapping[str, Any]):
    """`hostvars`: the variables of each host, by its id, made when they are asked for.

    Args:
        hosts: The variables of each host in the play.
        registered: What tasks have registered on each host.
    """

    def __init__(
        self, hosts: Mapping[str, Mapping[str, Any]], registered: Mapping[str, Mapping[str, Any]]
    ) -> None:
        self._hosts = hosts
        self._registered = registered

    def __getitem__(self, host: str) -> dict[str, Any]:
        return {**self._hosts[host], **self._registered.get(host, {})}

    def __iter__(self) -> Iterator[str]:
        return iter(self._hosts)

    def __len__(self) -> int:
        return len(self._hosts)


class PlayHost:
    """A host in a play, with its variables.

    Attributes:
        host: The host.
        variables: Its variables, but for what tasks registered.
        registered: What tasks of the stage registered on it so far.
    """

    def __init__(self, host: Host, variables: Mapping[str, Any], registered: dict[str, Any]) -> None:
        self.host = host
        self.variables = variables
        self.registered = registered

    def all_variables(self) -> dict[str, Any]:
        """Its variables now."""
        return {**self.variables, **self.registered}


def play_hosts(
    play: Play,
    workbench: Workbench,
    optimization_config: Mapping[str, Any],
    registered: dict[str, dict[str, Any]],
) -> list[PlayHost]:
    """The hosts of a play, in order.

    Args:
        play: The play.
        workbench: Where the variables of the scenario are.
        optimization_config: What templates find as `optimization_config`.
        registered: What tasks have registered on each host; grows.

    Raises:
        TemplateError: A variable of the play cannot be rendered.
    """
    found = workbench.variables.of_play(play, optimization_config)
    ids = [host.id for host, _ in found]
    everywhere = [host for host, _ in workbench.variables.selves()]
    of_hosts: dict[str, Mapping[str, Any]] = {
        host.id: workbench.variables.of_host(host) for host in everywhere
    }
    general = {
        "ansible_play_hosts": ids,
        "ansible_play_hosts_all": ids,
        "play_hosts": ids,
        "groups": {"all": [host.id for host in everywhere]},
        "hostvars": HostVariables(of_hosts, registered),
        "playbook_dir": str(workbench.scenario.directory),
        "ansible_managed": "Ansible managed",
        "ansible_check_mode": False,
    }
    hosts = []
    for host, variables in found:
        own = {
            **general,
            "inventory_hostname": host.id,
            "inventory_hostname_short": host.id.partition(".")[0],
            "ansible_host": host.address,
            "group_names": [*host.roles],
            **variables,
        }
        for name, value in (play.keywords.get("vars") or {}).items():
            own[str(name)] = render(value, own)
        of_hosts[host.id] = own
        hosts.append(PlayHost(host, own, registered.setdefault(host.id, {})))
    return hosts
