"""Which emulator emulates the links between hosts in namespaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optiprov.deploy.network.user_space import UserSpaceEmulator

if TYPE_CHECKING:
    from optiprov.deploy.network.base import NetworkEmulator
    from optiprov.deploy.network.host_network import HostNetwork


def choose_emulator(network: HostNetwork) -> NetworkEmulator:
    """The emulator of a network of this machine."""
    return UserSpaceEmulator(network)
