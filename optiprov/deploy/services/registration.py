"""What is known of deployed services: kept in a file, for commands that are processes of their own."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
from dataclasses import field
from typing import TYPE_CHECKING, Any

from optiprov.deploy.frozen import frozen
from optiprov.deploy.journal import boot_id
from optiprov.deploy.watchdog import end_processes, start_time

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


class ServicesFile:
    """The file services.json of a deployment: the services that stand.

    Args:
        directory: The directory of the deployment.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / SERVICES_NAME

    def read(self) -> list[DeployedService]:
        """The services that were deployed last; none before."""
        return [_service(one) for one in self._content().get("services", [])]

    def stand(self) -> bool:
        """Whether they were deployed, and neither ended since nor with the command that deployed them.

        A process that has ended by itself changes nothing: of that, people are told.
        """
        content = self._content()
        pid, start = content.get("owner", (0, None))
        is_owned = start is not None and start_time(pid) == start
        return bool(content.get("boot_id") == boot_id() and (content.get("is_left") or is_owned))

    def write(self, services: Sequence[DeployedService]) -> None:
        """Write services that were all deployed by this process, with which they end until they are left."""
        owner = os.getpid()
        self._put(
            {
                "boot_id": boot_id(),
                "owner": [owner, start_time(owner)],
                "is_left": False,
                "services": [dataclasses.asdict(one) for one in services],
            }
        )

    def note_left(self) -> None:
        """Say that they go on without the process that deployed them."""
        self._put({**self._content(), "is_left": True})

    def note_end(self) -> None:
        """Say that what they left running was ended: they have to be deployed again for the next stage."""
        if content := self._content():
            self._put({**content, "boot_id": None})

    def end_left(self) -> None:
        """End what still runs of services that stand no more."""
        if self._content().get("boot_id") == boot_id():
            started = {pid: start for one in self.read() for pid, start in one.processes.items()}
            lives = {pid for pid, start in started.items() if start is not None and start_time(pid) == start}
            end_processes((), lives)

    def _content(self) -> dict[str, Any]:
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # none yet, or a power cut left it empty
            return {}
        return content if isinstance(content, dict) else {}

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
        registered_from=host.id,
    )
    other = copy.copy(host)  # what it does there, it does as the host does
    other.placement = placement
    other.port = one.port
    return other


def _service(one: Mapping[str, Any]) -> DeployedService:
    registrations = [Registration(**{**each, "roles": tuple(each["roles"])}) for each in one["registrations"]]
    processes = {int(pid): start for pid, start in one["processes"].items()}
    return DeployedService(one["id"], one["made_by"], tuple(one["hosts"]), tuple(registrations), processes)
