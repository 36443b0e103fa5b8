"""The network of local hosts that have one of their own, where this machine gives it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optiprov.deploy.journal import MARKER_VARIABLE
from optiprov.deploy.network.endpoints import endpoints_of
from optiprov.deploy.network.host_network import GOING_ON_WITHOUT, HostNetwork, network_obstacle
from optiprov.errors import DeploymentError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from optiprov.deploy.placement import Placement
    from optiprov.deploy.providers.base import HostRequest


def network_for(placements: Sequence[Placement], request: HostRequest) -> HostNetwork | None:
    """The network of hosts that are to have one of their own, standing.

    Returns:
        None where this machine gives none, and the scenario does not ask for it in so many words: its notices
        tell so.

    Raises:
        DeploymentError: This machine gives none, and it is asked for, or hosts that are made have it.
    """
    obstacle = network_obstacle()
    if obstacle is not None:
        if request.isolation == "netns" or request.made:
            raise DeploymentError(
                f"hosts cannot have a network of their own here: {obstacle}. {GOING_ON_WITHOUT}"
            )
        return None
    endpoints = endpoints_of({**request.environment, **request.client_environment}, request.services)
    deployment_id = request.environment.get(MARKER_VARIABLE, request.directory.name)
    network = HostNetwork(
        deployment_id, request.directory, request.journal, _numbers(placements, request.made)
    )
    if request.is_visit:
        network.visit()
    else:
        network.provide(endpoints, request.watch)
    return network


def _numbers(placements: Sequence[Placement], made: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """The number of each host: by its place in the scenario, but those that were made keep theirs."""
    kept = {place.id: int(made[place.id]["number"]) for place in placements if place.id in made}
    taken = set(kept.values())
    free = (number for number in range(1, 2 * len(placements) + 1) if number not in taken)
    return {place.id: kept[place.id] if place.id in kept else next(free) for place in placements}
