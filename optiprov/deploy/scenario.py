"""A scenario: its files read, checked against each other, and ready to be deployed."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import field
from typing import TYPE_CHECKING, Any

from optiprov.deploy.frozen import frozen
from optiprov.deploy.models import ProvenanceService
from optiprov.deploy.models.environment import walltime_s
from optiprov.deploy.providers import RESERVED
from optiprov.deploy.selection import select
from optiprov.errors import MissingExtraError, ScenarioError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from optiprov.deploy.models import LayersServices, Network
    from optiprov.deploy.placement import Placement
    from optiprov.deploy.problems import Problem
    from optiprov.deploy.providers.base import Host
    from optiprov.deploy.services.sources import ServiceSource
    from optiprov.deploy.workflow import Play

logger = logging.getLogger(__name__)

LAYERS_SERVICES = "layers_services.yaml"
NETWORK = "network.yaml"
WORKFLOW = "workflow.yaml"
WORKFLOW_ENV = "workflow_env.yaml"
PROVIDERS = "providers.yaml"
FILES = (LAYERS_SERVICES, NETWORK, WORKFLOW, WORKFLOW_ENV, PROVIDERS)

DISPENSABLE = ("monitoring", "kwollect", "monitoring_iotlab")
"""Keys of layers_services.yaml that a scenario can be deployed without."""


@frozen
class Scenario:
    """A scenario whose files are right. Made by `load_scenario`; never changes.

    Attributes:
        directory: Where its files lie, absolute.
        artifacts_dir: Where tasks find what they copy, absolute.
        layers_services: The content of layers_services.yaml.
        placements: The hosts that it asks for, in the order of layers, services and machines.
        plays: The plays of workflow.yaml.
        networks: The rules of network.yaml.
        app_confs: The named sets of variables of workflow_env.yaml.
        obstacles: What it asks for that cannot be had here: deploying it is refused.
        notices: What it asks for that has no effect here: whoever deploys it is told.
        lacking: Those of the obstacles that classes of services have: they matter until these are deployed.
        services: The class that deploys a service, by the service's name; others are hosts, as they are.
    """

    directory: Path
    artifacts_dir: Path
    layers_services: LayersServices
    placements: tuple[Placement, ...]
    plays: tuple[Play, ...]
    networks: tuple[Network, ...] = ()
    app_confs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    obstacles: tuple[Problem, ...] = ()
    notices: tuple[Problem, ...] = ()
    lacking: tuple[Problem, ...] = ()
    services: Mapping[str, ServiceSource] = field(default_factory=dict)

    @property
    def job_name(self) -> str:
        """What the scenario calls itself."""
        return self.layers_services.environment.job_name

    @property
    def walltime_s(self) -> float | None:
        """How long an application may run, in seconds; None is without limit."""
        walltime = self.layers_services.environment.walltime
        return None if walltime is None else walltime_s(walltime)

    def require_deployable(self) -> None:
        """Refuse a scenario that asks for what cannot be had.

        Raises:
            ScenarioError: It has obstacles; the message tells each, with a way on.
            MissingExtraError: It needs hosts that are reserved, and what reserves them is not installed.
        """
        if self.obstacles:
            raise ScenarioError("\n".join(str(obstacle) for obstacle in self.obstacles))
        reserved = [one.testbed for one in self.placements if one.testbed in RESERVED]
        if not reserved:
            return
        from importlib.util import find_spec

        if find_spec("enoslib") is None:
            raise MissingExtraError(
                f"Deploying to {reserved[0]!r} (and not to this machine, --provider local)", "testbeds"
            )

    def require_hosts(self, hosts: Sequence[Host]) -> None:
        """Refuse patterns of the workflow that select none of the hosts that there are.

        Raises:
            ScenarioError: There are some; the message tells each, and what there is.
        """
        problems = []
        for play in self.plays:
            selectors = [play.hosts, *(one.service_selector for one in play.depends_on)]
            problems += [
                f"{play.path}:{play.line}: got {pattern!r}, which matches none of the hosts that services "
                f"have registered. There are: {', '.join(host.id for host in hosts)}."
                for pattern in selectors
                if not select(pattern, hosts)
            ]
        if problems:
            raise ScenarioError("\n".join(problems))

    def warn(self) -> None:
        """Tell what it asks for that has no effect."""
        for notice in self.notices:
            logger.warning("%s", notice)

    @property
    def lanes(self) -> int:
        """How many ingest lanes its provenance service has."""
        provenance = self.layers_services.provenance
        return provenance.parallelism if provenance else 1

    def without(self, keys: Collection[str]) -> Scenario:
        """The scenario without some of the keys of layers_services.yaml that it can do without.

        Args:
            keys: Some of `DISPENSABLE`.
        """
        absent: dict[str, Any] = dict.fromkeys(keys)
        content = dataclasses.replace(self.layers_services, **absent)
        obstacles, notices = (
            tuple(one for one in found if one.key.partition(".")[0] not in keys)
            for found in (self.obstacles, self.notices)
        )
        return dataclasses.replace(self, layers_services=content, obstacles=obstacles, notices=notices)

    def as_deployed(self) -> Scenario:
        """The scenario of what is deployed already, whatever programs have gone since."""
        if not self.lacking:
            return self
        others = tuple(one for one in self.obstacles if one not in self.lacking)
        return dataclasses.replace(self, obstacles=others, lacking=())

    @property
    def provenance_service(self) -> ProvenanceService:
        """How its provenance service runs: as the key `provenance` says, or by default."""
        return self.layers_services.provenance or ProvenanceService()

    @property
    def specification(self) -> Path | None:
        """The file with the specification of its dataflows: below its artifacts, else in its directory."""
        name = self.provenance_service.dataflow_spec
        if name is None:
            return None
        inside = self.artifacts_dir / name
        return inside if inside.exists() else self.directory / name

    @property
    def is_monitored(self) -> bool:
        """Whether the load of its hosts is recorded."""
        monitoring = self.layers_services.monitoring
        return monitoring is not None and monitoring.type == "dstat"

    @property
    def isolation(self) -> str | None:
        """What it says of how hosts of this machine are kept apart, None if it says nothing."""
        local = self.layers_services.environment.local
        return local.isolation if local else None

    @property
    def input_dirs(self) -> tuple[Path, ...]:
        """What it reads from: its directory, its artifacts, and what `environment: local: share` names."""
        local = self.layers_services.environment.local
        shared = (self.directory / path for path in (local.share if local else ()))
        return (self.directory, self.artifacts_dir, *shared)

    @property
    def files(self) -> tuple[Path, ...]:
        """The scenario's own files, those that exist."""
        return tuple(path for name in FILES if (path := self.directory / name).exists())
