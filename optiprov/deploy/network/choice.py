"""Which emulator emulates the links between hosts in namespaces: the kernel where it has netem, else ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optiprov.deploy.frozen import frozen
from optiprov.deploy.network.tc import TcEmulator, has_netem
from optiprov.deploy.network.user_space import UserSpaceEmulator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optiprov.deploy.network.base import NetworkEmulator
    from optiprov.deploy.network.host_network import HostNetwork


@frozen
class _InNamespace:
    """A host in a namespace, as tc goes about it: as root of that, whoever runs the tasks there."""

    id: str
    network: HostNetwork

    @property
    def address(self) -> str:
        return self.network.address4(self.id)

    @property
    def address6(self) -> str:
        return self.network.address6(self.id)

    def enclosed(self, argv: Sequence[str]) -> list[str]:
        return [*self.network.enter(self.id), *argv]


def choose_emulator(network: HostNetwork) -> NetworkEmulator:
    """The emulator of a network of this machine."""
    return tc_emulator(network) if has_netem() else UserSpaceEmulator(network)


def tc_emulator(network: HostNetwork) -> TcEmulator:
    """The kernel, as the emulator of a network of this machine; rules end with the network."""
    hosts = [_InNamespace(name, network) for name in network.numbers]
    return TcEmulator(hosts, enter=lambda host, argv: host.enclosed(argv), outlives_processes=False)
