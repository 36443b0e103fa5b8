"""Emulates links between hosts in namespaces by a process of ours, on kernels without netem."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optiprov.deploy.network.base import NetworkEmulator
from optiprov.errors import DeploymentError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optiprov.deploy.network.base import Link
    from optiprov.deploy.network.host_network import HostNetwork


class UserSpaceEmulator(NetworkEmulator):
    """Has the process that keeps the network run one that emulates links, and tells that one of them.

    The links are in a file: they outlive this process, and the one that emulates them, which is started
    again should it end. Until it works again, what goes over links is lost.

    Args:
        network: The network of the hosts, standing.
        seed: Has the same packets of a sequence lost; None for others each time.
    """

    description = "in user space"

    def __init__(self, network: HostNetwork, *, seed: int | None = None) -> None:
        self._network = network
        self._seed = seed

    def apply(self, links: Sequence[Link]) -> None:
        """Have exactly these links emulated; packets under way still arrive as it was before.

        Raises:
            DeploymentError: They cannot be, or are of hosts of other networks.
        """
        numbers = self._network.numbers
        strangers = {
            name for link in links for name in (link.source, link.destination) if name not in numbers
        }
        if strangers:
            raise DeploymentError(
                f"{', '.join(sorted(strangers))}: no hosts of the network in which links are emulated. Leave "
                "them out of the rules, or have all hosts on the testbed local."
            )
        self._network.emulate(
            [
                (
                    *(numbers[link.source], numbers[link.destination]),
                    *(link.delay_s, link.rate_bit_s, link.loss_share),
                )
                for link in links
            ],
            seed=self._seed,
        )
