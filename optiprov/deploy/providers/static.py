"""The testbed `static`: machines that are there, reached by SSH."""

from __future__ import annotations

import hashlib
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from optiprov.deploy.journal import MARKER_VARIABLE
from optiprov.deploy.providers import NO_MACHINE
from optiprov.deploy.providers.base import Host, HostRequest, Provider
from optiprov.deploy.providers.ssh.addresses import addresses_of
from optiprov.deploy.providers.ssh.connection import Connection, end_connections, open_all
from optiprov.deploy.providers.ssh.host import SshHost
from optiprov.deploy.providers.ssh.machine import Machine
from optiprov.deploy.providers.ssh.removal import remove_machine
from optiprov.errors import DeploymentError, HostUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from optiprov.deploy.models import StaticTestbed
    from optiprov.deploy.network.base import NetworkEmulator
    from optiprov.deploy.placement import Placement

logger = logging.getLogger(__name__)

One = TypeVar("One")
Result = TypeVar("Result")

SIDE_BY_SIDE = 32
"""So many hosts are worked on at a time."""


class StaticProvider(Provider):
    """Hosts on machines that are there: a directory on one, `~/.optiprov/<deployment>/<host id>`, for each.

    Machines are connected to side by side, each once, whatever the number of its hosts.
    """

    def __init__(self) -> None:
        self._connections: dict[Machine, Connection] = {}
        self._hosts: list[SshHost] = []
        self._name = ""

    def deploy(self, placements: Sequence[Placement], request: HostRequest) -> list[Host]:
        """Connect to the machines and make a directory for each host."""
        self._name = deployment_name(request)
        machines = self.machines(placements, request)
        if request.is_visit:
            return [self._visit(*one, request) for one in zip(placements, machines, strict=True)]
        made = {placement.id for placement in placements if placement.id in request.made}
        for machine in dict.fromkeys(machines):
            self._connections[machine] = Connection(
                machine, self._name, request.supervised, is_kept=request.is_detached
            )
        hosts_of: dict[Machine, list[str]] = {}
        for placement, machine in zip(placements, machines, strict=True):
            hosts_of.setdefault(machine, []).append(placement.id)
            if placement.id in request.made:
                self._connections[machine].know(request.made[placement.id]["facts"])
        for machine, ids in hosts_of.items():
            if not made.issuperset(ids):
                request.journal.write("machine", name=self._name, hosts=ids, machine=machine.as_record())
        self._connect(hosts_of, made)

        placed = list(zip(placements, machines, strict=True))
        records = _side_by_side(lambda one: self._describe(*one, request), placed)
        for placement, record in zip(placements, records, strict=True):
            if placement.id not in request.made:
                request.journal.write("host", id=placement.id, **record)
        self._hosts = _side_by_side(
            lambda one: self._deploy_one(*one[0], one[1], request), list(zip(placed, records, strict=True))
        )
        return list(self._hosts)

    def machines(self, placements: Sequence[Placement], request: HostRequest) -> list[Machine]:
        """The machine of each host: where it was made, the one that its service names, or the next in turn.

        Raises:
            DeploymentError: None is named.
        """
        asked = request.testbeds.static if request.testbeds is not None else None
        named = _named_machines(asked, request.inputs[0]) if asked is not None else {}
        free = list(named.values())
        chosen: list[Machine] = []
        turn = 0
        for placement in placements:
            known = request.made.get(placement.id)
            if known is not None:
                chosen.append(Machine.from_record(known["machine"]))
            elif placement.server is not None:
                default = _machine(asked, {"address": placement.server}, request.inputs[0])
                chosen.append(named.get(placement.server, default))
            elif not free:
                raise DeploymentError(NO_MACHINE.format(host=placement.id))
            else:
                chosen.append(free[turn % len(free)])
            turn += placement.server is None
        return chosen

    def emulator(self) -> NetworkEmulator:
        """The kernels of the machines, each for what its hosts send."""
        from optiprov.deploy.network.tc import TcEmulator

        return TcEmulator(self._hosts)

    def detach(self) -> None:
        """Let go of the connections, which stay where what runs needs them."""
        _side_by_side(Connection.let_go, list(self._connections.values()))
        self._connections.clear()
        self._hosts.clear()

    def destroy(self) -> None:
        """Bring provenance that was not sent here, and remove what was made on the machines."""
        # A machine that could not be reached when its first host was to be made has nothing of ours.
        reached = [one for one in self._connections.values() if one.facts]
        by_connection: dict[Connection, list[SshHost]] = {one: [] for one in reached}
        for host in self._hosts:
            by_connection[host.connection].append(host)
        are_gone = _side_by_side(
            lambda pair: remove_machine(pair[0], self._name, pair[1]), list(by_connection.items())
        )
        self.has_left = not all(are_gone)
        if self._connections:
            end_connections(self._name)
        for host in self._hosts:
            host.leave_spool()
        self._connections.clear()
        self._hosts.clear()

    def _connect(self, hosts_of: Mapping[Machine, Sequence[str]], made: set[str]) -> None:
        """Open all connections; a machine with hosts that are made already may be away for now."""
        failures = []
        for connection, error in open_all(list(self._connections.values())).items():
            if error is None:
                continue
            ids = hosts_of[connection.machine]
            told = f"host {', '.join(ids)}: {error}"
            if made.issuperset(ids):
                logger.warning("%s\nIt is tried again by each task.", told)
            else:
                failures.append(told)
        if failures:
            raise HostUnavailable("\n".join(failures))

    def _describe(self, placement: Placement, machine: Machine, request: HostRequest) -> Mapping[str, Any]:
        """What is to be journalled of a host, or was already."""
        if placement.id in request.made:
            return request.made[placement.id]
        connection = self._connections[machine]
        return {
            "directory": str(request.directory / "hosts" / placement.id),
            "machine": machine.as_record(),
            "name": self._name,
            "port": connection.call("allot_port")[0],
            "addresses": addresses_of(machine),
            "facts": connection.facts,
        }

    def _visit(self, placement: Placement, machine: Machine, request: HostRequest) -> SshHost:
        """A host as it is: connecting as others do would end what runs by a connection that was lost."""
        host = _host(placement, Connection(machine, self._name, ""), request.made[placement.id], request)
        host.visit(request.environment_of(placement))
        return host

    def _deploy_one(
        self, placement: Placement, machine: Machine, record: Mapping[str, Any], request: HostRequest
    ) -> SshHost:
        host = _host(placement, self._connections[machine], record, request)
        # One that was made already may be away for now.
        with suppress(*([HostUnavailable] if placement.id in request.made else [])):
            host.make(
                request.environment_of(placement),
                request.services,
                keeps_checkpoints=request.keeps_checkpoints,
            )
        return host


def _host(
    placement: Placement, connection: Connection, record: Mapping[str, Any], request: HostRequest
) -> SshHost:
    connection.know(record["facts"])
    address, address6 = record["addresses"]
    return SshHost(
        placement,
        connection,
        addresses=(address, address6),
        port=int(record["port"]),
        local_dir=request.directory / "hosts" / placement.id,
    )


def deployment_name(request: HostRequest) -> str:
    """What names the deployment on the machines, the same for each process that works on it."""
    own = request.environment.get(MARKER_VARIABLE)
    if own is not None:
        return own
    return f"{request.directory.name}-{hashlib.sha256(os.fsencode(request.directory)).hexdigest()[:12]}"


def _named_machines(asked: StaticTestbed, scenario_dir: Path) -> dict[str, Machine]:
    """The machines of the testbed, by their addresses."""
    return {host.address: _machine(asked, vars(host), scenario_dir) for host in asked.hosts}


def _machine(asked: StaticTestbed | None, own: Mapping[str, Any], scenario_dir: Path) -> Machine:
    """A machine, with what it does not say itself as the testbed says."""

    def value(name: str) -> Any:
        mine = own.get(name)
        return getattr(asked, name, None) if mine in (None, ()) else mine

    return Machine(
        address=own["address"],
        user=value("user"),
        port=value("port"),
        key_file=_path(value("key_file"), scenario_dir),
        jump_host=value("jump_host"),
        known_hosts=_path(value("known_hosts"), scenario_dir),
        options=tuple(value("options") or ()),
        **{name: given for name in ("python", "directory") if (given := value(name)) is not None},
        is_direct=value("reach") == "direct",
    )


def _path(given: str | None, scenario_dir: Path) -> str | None:
    """A path of this machine; a relative one lies in the scenario's directory."""
    return None if given is None else str(scenario_dir / Path(given).expanduser())


def _side_by_side(function: Callable[[One], Result], ones: Sequence[One]) -> list[Result]:
    if not ones:
        return []
    with ThreadPoolExecutor(min(SIDE_BY_SIDE, len(ones))) as pool:
        return list(pool.map(function, ones))
