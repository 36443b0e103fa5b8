"""Which hosts a scenario has: one for each machine of each service, with its id and metadata."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any

from optiprov.deploy.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from optiprov.deploy.models import Layer, LayersServices, Limits, Service


@frozen
class Placement:
    """One host that a scenario asks for.

    Attributes:
        layer: Name of the layer.
        service: Name of the service.
        layer_id: Position of the layer, from 1.
        service_id: Position of the service in its layer, from 1; copies made by `repeat` come last.
        machine_id: Number of the host among those of the service, from 1.
        environment: The testbed that the scenario names for the host.
        testbed: Whose hosts it gets: that testbed, or the provider that stands in for it.
        server: The machine that the scenario wants, None for any.
        cluster: The cluster that its service wants, None for that of its testbed.
        archi: The architecture that its service wants, None for any.
        limits: What the host may use at most, where it is on this machine.
        roles: Roles that select it in patterns.
        env: Environment variables of its processes, templates allowed.
        metadata: Further keys of the service, reached as `_self.<key>`.
        sub_service: What of the service it is, where the class of the service has registered it as such.
        registered: The keys of `_self` that this class has registered.
        registered_from: The id of the host that was registered, None for one that is as the scenario has it.
    """

    layer: str
    service: str
    layer_id: int
    service_id: int
    machine_id: int
    environment: str
    testbed: str
    roles: tuple[str, ...]
    env: Mapping[str, Any]
    metadata: Mapping[str, Any]
    server: str | None = None
    cluster: str | None = None
    archi: str | None = None
    limits: Limits | None = None
    sub_service: str | None = None
    registered: Mapping[str, Any] = field(default_factory=dict)
    registered_from: str | None = None

    @property
    def id(self) -> str:
        """The host id, `layer.service.service_id.machine_id`, in lower case as E2Clab's.

        That of a sub service is `layer.service.service_id.sub_service.machine_id`.
        """
        below = "" if self.sub_service is None else f"{self.sub_service}."
        return f"{self.layer}.{self.service}.{self.service_id}.{below}{self.machine_id}".lower()

    @property
    def own_id(self) -> str:
        """The id that the host has in the scenario, whatever it was registered as."""
        return self.registered_from or self.id

    @property
    def numeric_id(self) -> str:
        """E2Clab's `_id`: the numbers of layer, service and machine, such as `1_1_2`."""
        return f"{self.layer_id}_{self.service_id}_{self.machine_id}"


def place(content: LayersServices, provider: Callable[[str], str] = str) -> tuple[Placement, ...]:
    """The hosts of all layers, in the order of layers, services and machines.

    Args:
        content: The file layers_services.yaml.
        provider: Whose hosts a testbed's services get; by default its own.
    """
    environment = content.environment
    first, limits = environment.testbeds[0], environment.local.limits if environment.local else None
    return tuple(
        _placement(
            layer,
            service,
            (layer_id, service_id, machine_id),
            service.environment or first,
            provider,
            limits=service.limits or limits,
        )
        for layer_id, layer in enumerate(content.layers, 1)
        for service_id, service in enumerate(_with_copies(layer), 1)
        for machine_id in range(1, service.machines + 1)
    )


def _with_copies(layer: Layer) -> Iterator[Service]:
    yield from layer.services
    for service in layer.services:
        for _ in range(service.repeat):
            yield service


def _placement(
    layer: Layer,
    service: Service,
    ids: tuple[int, int, int],
    testbed: str,
    provider: Callable[[str], str],
    *,
    limits: Limits | None,
) -> Placement:
    layer_id, service_id, machine_id = ids
    return Placement(
        layer=layer.name,
        service=service.name,
        layer_id=layer_id,
        service_id=service_id,
        machine_id=machine_id,
        environment=testbed,
        testbed=provider(testbed),
        roles=tuple(service.roles),
        env=service.env,
        metadata=dict(service.metadata),
        server=service.servers[machine_id - 1] if service.servers else None,
        cluster=service.cluster,
        archi=service.archi,
        limits=limits,
    )
