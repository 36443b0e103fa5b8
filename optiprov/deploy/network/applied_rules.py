"""The rules of a scenario put between the hosts of one deployment, and taken off."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from optiprov.deploy.frozen import frozen
from optiprov.deploy.network.rules import make_links, renderable, rendered
from optiprov.deploy.network.state import NetworkState, as_links, as_row
from optiprov.deploy.scenario import NETWORK
from optiprov.errors import OptiprovError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from optiprov.deploy.journal import Journal
    from optiprov.deploy.network.base import Link, NetworkEmulator
    from optiprov.deploy.network.guards import Guards
    from optiprov.deploy.providers.base import Host
    from optiprov.deploy.scenario import Scenario

logger = logging.getLogger(__name__)

EVENT = "links"


@frozen
class HostGroup:
    """The hosts of one testbed.

    Attributes:
        testbed: Its name.
        hosts: The hosts.
        emulator: What emulates links between them; None where nothing does.
    """

    testbed: str
    hosts: Sequence[Host]
    emulator: NetworkEmulator | None


class AppliedRules:
    """What lies between the hosts of one deployment. Used by one thread at a time.

    Args:
        scenario: The scenario.
        directory: The directory of the deployment.
        journal: Its journal.
        groups: The hosts, and what emulates links between them.
        guards: What takes rules off machines that go on, should this process be killed; None where they stay
            until `end`.
    """

    def __init__(
        self,
        scenario: Scenario,
        directory: Path,
        journal: Journal,
        groups: Sequence[HostGroup],
        guards: Guards | None = None,
    ) -> None:
        self._scenario = scenario
        self._directory = directory
        self._journal = journal
        self._groups = groups
        self._guards = guards
        self._group_of = {host.id: group for group in groups for host in group.hosts}
        self._hosts = {host.id: host for group in groups for host in group.hosts}
        self._own: list[Link] | None = None

    def apply(
        self, variables: Mapping[str, Any], *, is_final: bool, is_asked_for: bool = False
    ) -> NetworkState:
        """Emulate what the rules ask for now, unless that is so already, or they were taken off.

        Args:
            variables: What templates in rules may use.
            is_final: Whether all variables are given: a rule that lacks one is an error, else it is left out.
            is_asked_for: Whether they are put back where they were taken off.

        Returns:
            What is emulated now.

        Raises:
            DeploymentError: A template renders to nothing that can be used, or links cannot be emulated.
        """
        state = NetworkState.read(self._directory)
        if state.is_removed and not is_asked_for:
            return state
        rules = self._scenario.networks if is_final else renderable(self._scenario.networks, variables)
        made = rendered(rules, variables, self._scenario.directory / NETWORK)
        hosts = [self._hosts[placement.id] for placement in self._scenario.placements]
        ruled = [one for one in make_links(made, hosts) if one.is_ruled]
        wanted = NetworkState()
        for one in ruled:
            emulator, reason = self._group_of[one.link.source].emulator, self._reason_against(one.link)
            if emulator is None or reason is not None:
                wanted.not_emulated.append(as_row(one, reason=reason))
            else:
                wanted.links.append(as_row(one, emulator=emulator.description))
        is_told = any(notice.key == "networks" for notice in self._scenario.notices)
        if wanted.not_emulated != state.not_emulated and not is_told:
            self._tell(wanted.not_emulated)
        if is_asked_for or not self._is_emulated(wanted, state):
            self._change(wanted, state)
        elif wanted != state:
            wanted.write(self._directory)
        return wanted

    def remove(self) -> NetworkState:
        """Take everything off, to stay off until it is asked for; return what is emulated then.

        Raises:
            DeploymentError: It cannot be taken off.
        """
        removed = NetworkState(is_removed=True)
        self._change(removed, NetworkState.read(self._directory))
        return removed

    def end(self) -> None:
        """Take off what would stay on hosts that go on without the deployment, before it is undone."""
        state = NetworkState.read(self._directory)
        if state.links or state.is_changing:
            self._end_outliving()
        if state != NetworkState():
            state.is_changing, state.is_ended = False, True
            state.write(self._directory)
        self._own = None

    def _end_outliving(self) -> None:
        for group in self._groups:
            if group.emulator is not None and group.emulator.taking_off is not None:
                try:
                    group.emulator.apply(())
                except OptiprovError as error:  # such as a host that is gone, and its rules with it
                    logger.warning("rules may still hold on hosts of %s: %s", group.testbed, error)

    def _change(self, wanted: NetworkState, state: NetworkState) -> None:
        """Have the emulators do what is wanted, noted before and after."""
        if not wanted.links and not state.links and not state.is_changing:
            wanted.write(self._directory)
            self._own = []
            return
        self._journal.write(EVENT, links=len(wanted.links))
        state.is_changing = True
        state.write(self._directory)
        self._own = None  # not known, should an emulator fail
        links = as_links(wanted.links)
        for group in self._groups:
            if group.emulator is not None:
                own = [link for link in links if self._group_of[link.source] is group]
                self._guard(group, own)
                group.emulator.apply(own)
        self._own = links
        wanted.write(self._directory)

    def _guard(self, group: HostGroup, links: Sequence[Link]) -> None:
        """Have guards on the hosts that keep what is about to be applied."""
        if self._guards is not None and group.emulator is not None and group.emulator.taking_off is not None:
            sources = {link.source for link in links}
            hosts = [host for host in group.hosts if host.id in sources]
            self._guards.stand(hosts, group.emulator.taking_off)

    def _is_emulated(self, wanted: NetworkState, state: NetworkState) -> bool:
        """Whether what is wanted is so: by this process, or by another one and still there."""
        links = as_links(wanted.links)
        if self._own is not None:
            return self._own == links and (self._guards is None or self._guards.all_stand)
        outlives = all(
            group.emulator is None or group.emulator.taking_off is not None for group in self._groups
        )
        return outlives and not (state.is_changing or state.is_ended) and as_links(state.links) == links

    def _reason_against(self, link: Link) -> str | None:
        """Why a link cannot be emulated, None if it can."""
        source, destination = self._hosts[link.source], self._hosts[link.destination]
        group = self._group_of[link.source]
        if source.address == destination.address:
            return f"they share the address {source.address}"
        if group is not self._group_of[link.destination]:
            return "they are on different testbeds"
        if group.emulator is None:
            return f"nothing emulates networks on the testbed {group.testbed!r}"
        return None

    def _tell(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Warn once of each reason for which links are not emulated."""
        path = self._scenario.directory / NETWORK
        for reason in dict.fromkeys(row["reason"] for row in rows):
            those = [row for row in rows if row["reason"] == reason]
            first = those[0]
            more = f" and {len(those) - 1} more" if len(those) > 1 else ""
            logger.warning(
                "%s:%s: networks: not emulated from %s to %s%s: %s, and talk at full speed.",
                *(path, first["rules"][0], first["source"], first["destination"], more, reason),
            )
