"""The hosts of a deployment: asked for from the providers of a scenario's testbeds, and given back."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from optiprov.deploy.providers import make_provider
from optiprov.errors import DeploymentError

if TYPE_CHECKING:
    from optiprov.deploy.network.applied_rules import HostGroup
    from optiprov.deploy.providers.base import Host, HostRequest, Provider
    from optiprov.deploy.scenario import Scenario


class Infrastructure:
    """The hosts of one deployment. Used by one thread at a time.

    Args:
        scenario: What asks for them; its testbeds have providers (`refuse_unavailable`).
    """

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._providers: dict[str, Provider] = {}
        self._hosts: list[Host] = []

    def deploy(self, request: HostRequest) -> list[Host]:
        """Make the hosts, in the order of the scenario; those that the request tells of are there already.

        Raises:
            DeploymentError: They cannot be had.
        """
        placements = self._scenario.placements
        by_id: dict[str, Host] = {}
        for testbed in dict.fromkeys(placement.testbed for placement in placements):
            provider = make_provider(testbed)
            self._providers[testbed] = provider
            of_testbed = [placement for placement in placements if placement.testbed == testbed]
            try:
                hosts = provider.deploy(of_testbed, request)
            except DeploymentError:
                raise
            except OSError as error:  # such as a full disk, or no more processes
                raise DeploymentError(
                    f"hosts of {testbed} cannot be made in {request.directory}: {error}. Make room or deploy "
                    "fewer hosts."
                ) from error
            by_id.update((host.id, host) for host in hosts)
        self._hosts = [by_id[placement.id] for placement in placements]
        return self._hosts

    def groups(self) -> list[HostGroup]:
        """The hosts of each testbed, and what emulates networks between them."""
        from optiprov.deploy.network.applied_rules import HostGroup  # few scenarios have rules

        return [
            HostGroup(
                testbed,
                [host for host in self._hosts if host.placement.testbed == testbed],
                provider.emulator(),
            )
            for testbed, provider in self._providers.items()
        ]

    def detach(self) -> None:
        """Let go of the hosts, which stay."""
        for provider in self._providers.values():
            provider.detach()

    def destroy(self) -> bool:
        """Remove the hosts of all testbeds, also where those of one cannot be.

        Returns:
            Whether all of them are gone; what stays is logged.
        """
        with ExitStack() as last_to_first:
            for provider in self._providers.values():
                last_to_first.callback(provider.destroy)
        return not any(provider.has_left for provider in self._providers.values())
