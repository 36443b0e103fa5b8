"""What a service registers: by which ids its hosts are found, and what templates know of them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from optiprov.deploy.services.registration import Registration
from optiprov.deploy.services.roles import Roles
from optiprov.errors import DeploymentError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optiprov.deploy.services.hosts import ServiceHost

_SUB_SERVICE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")


class Registry:
    """What one service has registered.

    Args:
        layer: The layer's name.
        service: The service's name.
        numbers: The numbers of layer and service, such as `1_2`.

    Attributes:
        infos: The keys of `_self`, by the id.
        hosts: The hosts, by the id.
    """

    def __init__(self, layer: str, service: str, numbers: str) -> None:
        self.infos: dict[str, dict[str, Any]] = {}
        self.hosts = Roles()
        self._numbers = numbers
        self._prefix = f"{layer}.{service}.{numbers.rpartition('_')[2]}".lower()
        self._entries: dict[str, tuple[ServiceHost, str | None, int, int, list[str]]] = {}

    def add(
        self,
        hosts: Sequence[ServiceHost],
        roles: Mapping[int, Sequence[str]],
        port: int | str | None,
        sub_service: str | None,
        extra: Sequence[Mapping[str, Any] | None] | None,
    ) -> None:
        """Register hosts; one that is there already is registered anew.

        Args:
            hosts: The hosts.
            roles: Further roles, by the identity of the host.
            port: Their port, None for each one's own.
            sub_service: What they are a part of.
            extra: Further keys, for each of the hosts.

        Raises:
            DeploymentError: What is given is of another shape.
        """
        if sub_service is not None and not _SUB_SERVICE.fullmatch(str(sub_service)):
            raise DeploymentError(
                f"register_service: sub_service: got {sub_service!r}, expected a name of letters, digits, "
                "'_' and '-' (it becomes a part of host ids)"
            )
        more = _extras(extra)
        for index, host in enumerate(hosts):
            number = self._number(host, sub_service)
            key = ".".join(filter(None, [self._prefix, sub_service, str(number)])).lower()
            own = _port(port, host)
            info = {**self._info(host, number, own if port is None else port), **more.get(index, {})}
            self.infos[key] = info
            self.hosts[key] = [host]
            self._entries[key] = (host, sub_service, number, own, list(roles.get(id(host), ())))

    def all(self) -> list[Registration]:
        """What is registered, in the order in which it was.

        Raises:
            DeploymentError: A key has a value that cannot be written down.
        """
        return [
            Registration(
                host.id, sub_service, number, port, tuple(roles), _plain(key, self.infos.get(key, {}))
            )
            for key, (host, sub_service, number, port, roles) in self._entries.items()
        ]

    def _number(self, host: ServiceHost, sub_service: str | None) -> int:
        """A host's number: its own, in a sub service that by which it came."""
        if sub_service is None:
            return host.machine_id
        there = [(its, number) for its, sub, number, *_ in self._entries.values() if sub == sub_service]
        return next((number for its, number in there if its is host), len(there) + 1)

    def _info(self, host: ServiceHost, number: int, port: int | str) -> dict[str, Any]:
        layer_id, _, service_id = self._numbers.partition("_")
        url = f"{host.address}:{port}"
        info = {
            "_id": f"{self._numbers}_{number}",
            "layer_id": layer_id,
            "service_id": service_id,
            "machine_id": str(number),
            "__address__": host.address,
            "__address4__": host.address,
            "url": url,
            "url4": url,
        }
        if host.address6:
            info |= {"__address6__": host.address6, "url6": f"[{host.address6}]:{port}"}
        return info | ({"gateway": host.gateway} if host.gateway else {})


def _extras(extra: Any) -> dict[int, Mapping[str, Any]]:
    if extra is None:
        return {}
    if not isinstance(extra, list | tuple) or not all(one is None or isinstance(one, dict) for one in extra):
        raise DeploymentError(
            f"register_service: extra: got {extra!r}, expected a list with a mapping for each host."
        )
    return {index: one for index, one in enumerate(extra) if one is not None}


def _port(port: Any, host: ServiceHost) -> int:
    if port is None:
        return host.port
    try:
        return int(port)
    except (TypeError, ValueError):
        raise DeploymentError(f"register_service: service_port: got {port!r}, expected a port.") from None


def _plain(key: str, info: Mapping[str, Any]) -> dict[str, Any]:
    try:
        plain: dict[str, Any] = json.loads(json.dumps(info))
    except (TypeError, ValueError) as error:
        raise DeploymentError(
            f"what is registered as {key} cannot be written down: {error}. "
            "Give texts, numbers, lists and mappings."
        ) from None
    return plain
