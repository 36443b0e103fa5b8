"""What is known of deployed services: kept in a file, for commands that are processes of their own."""

from __future__ import annotations

import copy
import dataclasses
import json
from dataclasses import field
from typing import TYPE_CHECKING, Any

from optiprov.deploy.frozen import frozen
from optiprov.deploy.watchdog import start_time
from optiprov.errors import DeploymentError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from optiprov.deploy.providers.base import Host

SERVICES_NAME = "services.json"


@frozen
class Registration:
    """A host, as a service has registered it.

    Attributes:
        host: The id of the host.
        sub_service: What it is a part of, None for the service itself.
        machine_id: Its number there.
        port: The port of its `url`.
        roles: Further roles that select it.
        info: The keys of its `_self`.
    """

    host: str
    sub_service: str | None
    machine_id: int
    port: int
    roles: tuple[str, ...]
    info: Mapping[str, Any]


@frozen
class DeployedService:
    """A service that was deployed by its class.

    Attributes:
        id: Its layer, name and number, such as `cloud.flink.1`.
        made_by: The class, and where it comes from.
        hosts: The ids of its hosts.
        registrations: What it has registered.
        processes: What it left running: process ids, with the time at which each started.
    """

    id: str
    made_by: str
    hosts: tuple[str, ...]
    registrations: tuple[Registration, ...] = ()
    processes: Mapping[int, int | None] = field(default_factory=dict)

    @property
    def is_running(self) -> bool:
        """Whether some of what it left running runs, where it left anything."""
        return not self.processes or any(
            start is not None and start_time(pid) == start for pid, start in self.processes.items()
        )


class ServicesFile:
    """The file services.json of a deployment: the services that stand.

    Args:
        directory: The directory of the deployment.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / SERVICES_NAME

    def read(self) -> tuple[list[DeployedService], bool]:
        """The services that were deployed last, and whether they still stand; none before.

        Raises:
            DeploymentError: The file holds something else.
        """
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
            services = [_service(one) for one in content["services"]]
        except FileNotFoundError:
            return [], False
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DeploymentError(f"{self._path}: holds no services: {error!r}. Remove it.") from error
        return services, bool(content.get("stand")) and all(one.is_running for one in services)

    def write(self, services: Sequence[DeployedService]) -> None:
        """Write services that were all deployed; whoever reads sees them all, or those of before."""
        self._put({"stand": True, "services": [dataclasses.asdict(one) for one in services]})

    def note_end(self) -> None:
        """Say that what they left running was ended: they have to be deployed again for the next stage."""
        services, _ = self.read()
        if services:
            self._put({"stand": False, "services": [dataclasses.asdict(one) for one in services]})

    def _put(self, content: Mapping[str, Any]) -> None:
        unfinished = self._path.with_name(f".{self._path.name}.part")
        unfinished.write_text(json.dumps(content, indent=1), encoding="utf-8")
        unfinished.replace(self._path)


def as_registered(hosts: Sequence[Host], services: Sequence[DeployedService]) -> list[Host]:
    """The hosts that patterns select: as services have registered them, and those of other services.

    Args:
        hosts: The hosts of the deployment, in order.
        services: What was deployed on them.
    """
    by_host: dict[str, list[Registration]] = {}
    hidden: set[str] = set()
    for service in services:
        if service.registrations:
            hidden |= set(service.hosts)
        for one in service.registrations:
            by_host.setdefault(one.host, []).append(one)
    selected: list[Host] = []
    for host in hosts:
        if host.id in hidden:
            selected += [_registered(host, one) for one in by_host.get(host.id, [])]
        else:
            selected.append(host)
    return selected


def _registered(host: Host, one: Registration) -> Host:
    """The same host by another id, with what else is known of it."""
    placement = dataclasses.replace(
        host.placement,
        machine_id=one.machine_id,
        sub_service=one.sub_service,
        roles=tuple(dict.fromkeys((*host.placement.roles, *one.roles))),
        registered=one.info,
    )
    other = copy.copy(host)  # what it does there, it does as the host does
    other.placement = placement
    other.port = one.port
    return other


def _service(one: Mapping[str, Any]) -> DeployedService:
    registrations = [Registration(**{**each, "roles": tuple(each["roles"])}) for each in one["registrations"]]
    processes = {int(pid): start for pid, start in one["processes"].items()}
    return DeployedService(one["id"], one["made_by"], tuple(one["hosts"]), tuple(registrations), processes)
