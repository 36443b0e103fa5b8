"""Which hosts a scenario has: one for each machine of each service, with its id and metadata."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from optiprov.deploy.models import Layer, Service


@dataclass(frozen=True)
class Placement:
    """One host that a scenario asks for.

    Attributes:
        layer: Name of the layer.
        service: Name of the service.
        layer_id: Position of the layer, from 1.
        service_id: Position of the service in its layer, from 1; copies made by `repeat` come last.
        machine_id: Number of the host among those of the service, from 1.
        testbed: Which provider has the host.
        roles: Roles that select it in patterns.
        env: Environment variables of its processes, templates allowed.
        metadata: Further keys of the service, reached as `_self.<key>`.
    """

    layer: str
    service: str
    layer_id: int
    service_id: int
    machine_id: int
    testbed: str
    roles: tuple[str, ...]
    env: Mapping[str, Any]
    metadata: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The host id, `layer.service.service_id.machine_id`, in lower case as E2Clab's."""
        return f"{self.layer}.{self.service}.{self.service_id}.{self.machine_id}".lower()

    @property
    def numeric_id(self) -> str:
        """E2Clab's `_id`: the numbers of layer, service and machine, such as `1_1_2`."""
        return f"{self.layer_id}_{self.service_id}_{self.machine_id}"


def place(layers: Iterable[Layer]) -> tuple[Placement, ...]:
    """The hosts of all layers, in the order of layers, services and machines."""
    return tuple(
        _placement(layer, service, (layer_id, service_id, machine_id))
        for layer_id, layer in enumerate(layers, 1)
        for service_id, service in enumerate(_with_copies(layer), 1)
        for machine_id in range(1, service.quantity + 1)
    )


def _with_copies(layer: Layer) -> Iterator[Service]:
    yield from layer.services
    for service in layer.services:
        for _ in range(service.repeat):
            yield service


def _placement(layer: Layer, service: Service, ids: tuple[int, int, int]) -> Placement:
    layer_id, service_id, machine_id = ids
    return Placement(
        layer=layer.name,
        service=service.name,
        layer_id=layer_id,
        service_id=service_id,
        machine_id=machine_id,
        testbed=service.environment,
        roles=tuple(service.roles),
        env=service.env,
        metadata=dict(service.model_extra or {}),
    )
