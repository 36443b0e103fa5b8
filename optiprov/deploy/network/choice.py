"""Which emulator emulates the links between hosts in namespaces: the kernel where it has netem, else ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optiprov.deploy.network.tc import TcEmulator, has_netem
from optiprov.deploy.network.user_space import UserSpaceEmulator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optiprov.deploy.network.base import NetworkEmulator
    from optiprov.deploy.network.host_network import HostNetwork
    from optiprov.deploy.network.tc import RuledHost


def choose_emulator(network: HostNetwork, hosts: Sequence[RuledHost]) -> NetworkEmulator:
    """The emulator for hosts of this machine that have a network of their own.

    Args:
        network: Their network; its `enter` runs commands as root in the namespace of a host.
        hosts: The hosts.
    """
    return tc_emulator(network, hosts) if has_netem() else UserSpaceEmulator(network)


def tc_emulator(network: HostNetwork, hosts: Sequence[RuledHost]) -> TcEmulator:
    """The kernel, as the emulator of a network of this machine; rules end with the network."""
    return TcEmulator(
        hosts, enter=lambda host, argv: [*network.enter(host.id), *argv], outlives_processes=False
    )
