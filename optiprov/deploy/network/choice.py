"""Which emulator emulates the links between hosts in namespaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optiprov.deploy.network.user_space import UserSpaceEmulator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optiprov.deploy.network.base import NetworkEmulator
    from optiprov.deploy.network.host_network import HostNetwork
    from optiprov.deploy.providers.base import Host


def choose_emulator(network: HostNetwork, hosts: Sequence[Host]) -> NetworkEmulator:
    """The emulator for hosts of this machine that have a network of their own.

    Args:
        network: Their network; its `enter` runs commands as root in the namespace of a host.
        hosts: The hosts.
    """
    del hosts  # the emulator knows them by their numbers
    return UserSpaceEmulator(network)
