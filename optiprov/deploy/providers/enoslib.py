"""Testbeds whose machines are reserved through EnOSlib, and are then as those of `static`.

EnOSlib (https://discovery.gitlabpages.inria.fr/enoslib/) is the extra `testbeds`. A reservation is a job that
is found by its name, which no other deployment has: so another process goes on with it, or releases it.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING, Any, ClassVar

from optiprov.deploy.frozen import frozen
from optiprov.deploy.journal import read_journal
from optiprov.deploy.providers.ssh.machine import Machine
from optiprov.deploy.providers.static import StaticProvider, deployment_name
from optiprov.errors import DeploymentError, MissingExtraError, OptiprovError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from optiprov.deploy.journal import Journal
    from optiprov.deploy.models import Environment
    from optiprov.deploy.models.environment import Testbed
    from optiprov.deploy.placement import Placement
    from optiprov.deploy.providers.base import HostRequest

logger = logging.getLogger(__name__)

EXTRA = "testbeds"
KNOWN_HOSTS = "known_hosts"


@frozen
class Group:
    """Hosts of one service that are reserved together.

    Attributes:
        role: What EnOSlib calls its hosts, by which they are known among those reserved.
        placements: Their places in the scenario.
        servers: The machines that the service names; none for any of the cluster.
    """

    role: str
    placements: tuple[Placement, ...]
    servers: tuple[str, ...]

    @property
    def first(self) -> Placement:
        """One of the places: what the service says is the same of all."""
        return self.placements[0]


class EnoslibProvider(StaticProvider):
    """Reserves machines, and has hosts on them as `static` does; the reservation is journalled before it is.

    Attributes:
        testbed: What scenarios and journals call the testbed.
    """

    testbed: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self._journal: Journal | None = None

    @abstractmethod
    def configuration(self, groups: Sequence[Group], request: HostRequest) -> Any:
        """EnOSlib's configuration object for the reservation of all groups.

        Raises:
            DeploymentError: The scenario lacks what it needs.
        """

    @abstractmethod
    def read_configuration(self, journalled: Any) -> Any:
        """The configuration object of a reservation that an earlier process made, from its `to_dict()`."""

    @abstractmethod
    def reserving(self, configuration: Any) -> Any:
        """EnOSlib's provider, which reserves, deploys and releases what a configuration says."""

    def made_ready(self, reserving: Any, hosts: dict[str, Any], request: HostRequest) -> None:
        """Do what is left to do by EnOSlib with the hosts, by their ids, once they are reserved."""

    def machines(self, placements: Sequence[Placement], request: HostRequest) -> list[Machine]:
        """The machine of each host: where it was made, or one of those that are reserved now.

        Raises:
            DeploymentError: They cannot be reserved.
        """
        self._journal = None if request.is_visit else request.journal
        known = {
            one.id: Machine.from_record(request.made[one.id]["machine"])
            for one in placements
            if one.id in request.made
        }
        if len(known) < len(placements):
            reserved = self._reserve(placements, request)
            known = {**{one: machine_of(host, request.directory) for one, host in reserved.items()}, **known}
        return [known[placement.id] for placement in placements]

    def destroy(self) -> None:
        """Remove the hosts as `static` does, and release the machines, whatever became of the hosts.

        Raises:
            DeploymentError: They cannot be released.
        """
        try:
            super().destroy()
        finally:
            if self._journal is not None:
                self.release(self._journal)
                self.has_left = False  # what could not be removed is gone with the machines

    def release(self, journal: Journal) -> None:
        """Release what a journal tells of reservations on the testbed.

        Raises:
            DeploymentError: It cannot be released.
        """
        journalled = read_journal(journal.path)
        for event in journalled.reservations if journalled is not None else ():
            if event["testbed"] != self.testbed:
                continue
            with _of_enoslib(self.testbed, f"the reservation {event['job_name']!r} is not released"):
                self.reserving(self.read_configuration(event["configuration"])).destroy(wait=True)
            journal.write("released", testbed=self.testbed, job_name=event["job_name"])

    def _reserve(self, placements: Sequence[Placement], request: HostRequest) -> dict[str, Any]:
        """Reserve machines, or take those of the job of this name that there is already, by host ids."""
        groups = group(placements)
        with _of_enoslib(self.testbed, "hosts cannot be reserved"):
            configuration = self.configuration(groups, request)
            name = configuration.job_name
            told = configuration.finalize().to_dict()
        request.journal.write("reservation", testbed=self.testbed, job_name=name, configuration=told)
        logger.info("%s: reserving %d hosts as the job %r", self.testbed, len(placements), name)
        with _of_enoslib(self.testbed, f"hosts cannot be reserved as the job {name!r}"):
            reserving = self.reserving(configuration)
            roles, _ = reserving.init()
            hosts = {one.role: list(roles[one.role]) for one in groups}
        found = {}
        for one in groups:
            found.update(_assigned(self.testbed, one, hosts[one.role]))
        with _of_enoslib(self.testbed, f"hosts of the job {name!r} cannot be made ready"):
            self.made_ready(reserving, found, request)
        return found


def group(placements: Sequence[Placement]) -> list[Group]:
    """Hosts that are reserved together: those of a service, and of one cluster where it names machines."""

    def shared(placement: Placement) -> tuple[int, int, str]:
        return placement.layer_id, placement.service_id, _cluster_of(placement.server)

    groups = []
    for (layer_id, service_id, cluster), of_group in groupby(sorted(placements, key=shared), key=shared):
        members = tuple(of_group)
        role = f"{layer_id}_{service_id}" + (f"_{cluster}" if cluster else "")
        servers = tuple(one.server for one in members if one.server is not None)
        groups.append(Group(role, members, servers))
    return groups


def machine_of(host: Any, directory: Path) -> Machine:
    """How a host of EnOSlib (`enoslib.Host`) is reached by SSH: address, user, port, key and gateways.

    Nobody can know the keys of machines that were just installed: they are taken at the first connection,
    into a file of the deployment, and checked from then on. Those in the user's own file are checked, too.

    Args:
        host: The host.
        directory: The deployment's directory.
    """
    extra = host.extra or {}
    jumps = []
    for kind in ("gateway", "internal_gateway"):  # the outermost first
        if extra.get(kind):
            user = extra.get(f"{kind}_user", host.user)
            port = extra.get(f"{kind}_port")
            jumps.append((f"{user}@" if user else "") + extra[kind] + (f":{port}" if port else ""))
    return Machine(
        address=host.address,
        user=host.user,
        port=host.port,
        key_file=host.keyfile,
        jump_host=",".join(jumps) or None,
        options=(
            "StrictHostKeyChecking=accept-new",
            f'UserKnownHostsFile="{directory / KNOWN_HOSTS}" ~/.ssh/known_hosts',
        ),
    )


def job_name(request: HostRequest, testbed: Testbed) -> str:
    """What the reservation of a deployment is called: as the deployment, after what the scenario says."""
    name = deployment_name(request)
    return f"{testbed.job_name}-{name}" if testbed.job_name else name


def walltime(environment: Environment | None, testbed: Testbed) -> str | None:
    """How long the reservation lasts: as the testbed says, or the environment; None for EnOSlib's default."""
    return testbed.walltime or (environment.walltime if environment is not None else None)


def cluster(placement: Placement, environment: Environment | None, testbed: Testbed) -> str:
    """The cluster of a host that names no machine: its service's, the testbed's, or the environment's.

    Raises:
        DeploymentError: None of them names one.
    """
    found = placement.cluster or testbed.cluster or (environment.cluster if environment is not None else None)
    if found is None:
        raise DeploymentError(
            f"host {placement.id}: no cluster is named for it. Add `cluster` to its service or its testbed "
            "in layers_services.yaml, or the machines themselves (`servers`)."
        )
    return found


def _cluster_of(server: str | None) -> str:
    """Machines are reserved together within a cluster: `name-1.site` and `name-2.site`."""
    if server is None:
        return ""
    name, _, site = server.partition(".")
    return f"{name.rpartition('-')[0]}.{site.partition('.')[0]}"


def _assigned(testbed: str, one: Group, hosts: Sequence[Any]) -> dict[str, Any]:
    """The hosts of a group, each for one of its places: the machine that it names, or the next by name."""
    by_name = {host.alias: host for host in sorted(hosts, key=lambda host: str(host.address))}
    if len(by_name) < len(one.placements):
        raise DeploymentError(
            f"{testbed}: got {len(by_name)} hosts for {one.first.layer}.{one.first.service}, which has "
            f"{len(one.placements)}. `optiprov destroy` releases them; try again later, or with another "
            "cluster."
        )
    found = {}
    for placement in one.placements:
        names = [name for name in by_name if placement.server in {name, name.removeprefix("node-")}]
        name = names[0] if names else next(iter(by_name))
        found[placement.id] = by_name.pop(name)
    return found


def import_enoslib(testbed: str) -> Any:
    """EnOSlib, with what it needs for a testbed.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import enoslib
    except ImportError as error:
        raise MissingExtraError(f"The testbed {testbed!r}", EXTRA) from error
    return enoslib


@contextmanager
def _of_enoslib(testbed: str, what: str) -> Iterator[None]:
    """Have what EnOSlib raises told as what could not be done; its own output is left out."""
    import_enoslib(testbed)
    from enoslib.config import config_context

    try:
        with config_context(ansible_stdout="noop"):
            yield
    except OptiprovError:
        raise
    # EnOSlib raises bare Exception, and ends the process in places; its APIs' errors have no base in common.
    except (Exception, SystemExit) as error:
        told = str(error) or type(error).__name__
        raise DeploymentError(
            f"{testbed}: {what}: {told}. EnOSlib's own check of accounts and access: "
            '`python -c "import enoslib; enoslib.check()"`.'
        ) from error
