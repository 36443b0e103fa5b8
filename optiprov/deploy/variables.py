"""The variables that templates of a scenario may use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optiprov.deploy.grouping import group
from optiprov.deploy.problems import suggestion
from optiprov.deploy.selection import select
from optiprov.deploy.variable_names import SELF_KEYS
from optiprov.errors import ScenarioError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from optiprov.deploy.providers.base import Host
    from optiprov.deploy.scenario import Scenario
    from optiprov.deploy.workflow import Play


def describe(host: Host) -> dict[str, Any]:
    """`_self` of a host: E2Clab's keys (ids as texts), its port, and the metadata of its service.

    Over these goes what the class of the service has registered; what else it registered is metadata too.
    """
    placement = host.placement
    registered = {key: value for key, value in placement.registered.items() if key not in SELF_KEYS}
    url = f"{host.address}:{host.port}"
    return {
        **placement.metadata,
        "metadata": {**placement.metadata, **registered},
        "_id": placement.numeric_id,
        "layer_id": str(placement.layer_id),
        "service_id": str(placement.service_id),
        "machine_id": str(placement.machine_id),
        "host_id": placement.id,
        "port": host.port,
        "__address__": host.address,
        "__address4__": host.address,
        "address": host.address,
        "address4": host.address,
        "url": url,
        "url4": url,
        **_ipv6(host),
        **({"gateway": host.gateway} if host.gateway else {}),
        **placement.registered,
    }


def _ipv6(host: Host) -> dict[str, Any]:
    if host.address6 is None:
        return {}
    url = f"[{host.address6}]:{host.port}"
    return {"__address6__": host.address6, "address6": host.address6, "url6": url}


def chosen_app_conf(scenario: Scenario, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The set of workflow_env.yaml that the variable `app_conf` chooses; empty if it chooses none.

    Raises:
        ScenarioError: There is no such set.
    """
    app_conf = given.get("app_conf")
    if app_conf is None:
        return {}
    if app_conf not in scenario.app_confs:
        path = scenario.directory / "workflow_env.yaml"
        raise ScenarioError(f"{path}:1: {no_app_conf(path, app_conf, scenario.app_confs)}")
    return scenario.app_confs[app_conf]


def no_app_conf(path: Path, name: str, there: Iterable[str]) -> str:
    """The message for a set of workflow_env.yaml that does not exist, as maybe the file does not."""
    names = list(there)
    if not names and not path.exists():
        return (
            f"is missing, and the set {name!r} is asked for. Write the file, with `{name}: {{key: value}}`."
        )
    return f"has no set {name!r}. {suggestion(name, names)}There are: {', '.join(names) or 'none'}."


class Variables:
    """The variables of each host, in each play.

    Args:
        scenario: The scenario.
        hosts: All hosts, in the order of placement.
        given: Variables from outside: `app_conf` chooses a set of workflow_env.yaml,
            `current_repeat` is 1 by default.
    """

    def __init__(self, scenario: Scenario, hosts: Sequence[Host], given: Mapping[str, Any]) -> None:
        self._hosts = hosts
        self._selves = {host.id: describe(host) for host in hosts}
        self._general = {
            "scenario_dir": str(scenario.directory),
            "artifacts_dir": str(scenario.artifacts_dir),
            "current_repeat": 1,
            "optimization_config": {},
            **{f"env_{key}": value for key, value in chosen_app_conf(scenario, given).items()},
            **given,
        }

    def general(self, optimization_config: Mapping[str, Any]) -> dict[str, Any]:
        """The variables that are of no host."""
        return {**self._general, "optimization_config": optimization_config}

    def of_host(self, host: Host) -> dict[str, Any]:
        """The variables of a host outside any play."""
        return {**self._general, "working_dir": host.working_dir, "_self": self._selves[host.id]}

    def of_play(
        self, play: Play, optimization_config: Mapping[str, Any]
    ) -> list[tuple[Host, dict[str, Any]]]:
        """The hosts of a play, each with its variables and those of the services it depends on."""
        chosen = [
            (host, {**self.of_host(host), "optimization_config": optimization_config})
            for host in select(play.hosts, self._hosts)
        ]
        for dependency in play.depends_on:
            services = [self._selves[host.id] for host in select(dependency.service_selector, self._hosts)]
            found = group(dependency, [self._selves[host.id] for host, _ in chosen], services)
            chosen = [
                (host, {**variables, **more})
                for (host, variables), more in zip(chosen, found, strict=True)
                if more is not None
            ]
        return chosen

    def selves(self) -> list[tuple[Host, dict[str, Any]]]:
        """Each host with its `_self`."""
        return [(host, self._selves[host.id]) for host in self._hosts]
