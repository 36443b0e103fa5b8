"""A scenario: its files read, checked against each other, and ready to be deployed."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optiprov.deploy.availability import obstacles
from optiprov.deploy.checks import check_local_share, check_metadata, check_names, check_prefixes
from optiprov.deploy.models import (
    TESTBEDS,
    LayersServices,
    Network,
    NetworkFile,
    ProvenanceService,
    ProvidersFile,
)
from optiprov.deploy.models.environment import walltime_s
from optiprov.deploy.models.workflow_env import WORKFLOW_ENV as WORKFLOW_ENV_KIND
from optiprov.deploy.patterns import KnownHosts
from optiprov.deploy.placement import Placement, place
from optiprov.deploy.plays import ansible_obstacles
from optiprov.deploy.problems import Problems, suggestion
from optiprov.deploy.validation import validate, validate_kind
from optiprov.deploy.workflow import Play, read_workflow
from optiprov.deploy.yaml_source import YamlSource, read_yaml
from optiprov.errors import ScenarioError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from optiprov.deploy.problems import Problem

LAYERS_SERVICES = "layers_services.yaml"
NETWORK = "network.yaml"
WORKFLOW = "workflow.yaml"
WORKFLOW_ENV = "workflow_env.yaml"
PROVIDERS = "providers.yaml"
FILES = (LAYERS_SERVICES, NETWORK, WORKFLOW, WORKFLOW_ENV, PROVIDERS)

DISPENSABLE = ("monitoring", "kwollect", "monitoring_iotlab")
"""Keys of layers_services.yaml that a scenario can be deployed without."""


@dataclass(frozen=True)
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
    """

    directory: Path
    artifacts_dir: Path
    layers_services: LayersServices
    placements: tuple[Placement, ...]
    plays: tuple[Play, ...]
    networks: tuple[Network, ...] = ()
    app_confs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    obstacles: tuple[Problem, ...] = ()

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
        """
        if self.obstacles:
            raise ScenarioError("\n".join(str(obstacle) for obstacle in self.obstacles))

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
        left = tuple(one for one in self.obstacles if one.key.partition(".")[0] not in keys)
        return dataclasses.replace(self, layers_services=content, obstacles=left)

    @property
    def provenance_service(self) -> ProvenanceService:
        """How its provenance service runs: as the key `provenance` says, or by default."""
        return self.layers_services.provenance or ProvenanceService()

    def find_artifact(self, name: str) -> Path:
        """A file that the scenario names: below its artifacts, else in its own directory."""
        inside = self.artifacts_dir / name
        return inside if inside.exists() else self.directory / name

    @property
    def is_monitored(self) -> bool:
        """Whether the load of its hosts is recorded."""
        monitoring = self.layers_services.monitoring
        return monitoring is not None and monitoring.type == "dstat"

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


def load_scenario(
    scenario_dir: Path, artifacts_dir: Path | None = None, *, provider: str | None = None
) -> Scenario:
    """Read and check a scenario.

    Args:
        scenario_dir: The directory with layers_services.yaml and workflow.yaml, and optionally
            network.yaml and workflow_env.yaml.
        artifacts_dir: Where tasks find the files that they copy; by default `artifacts` in the
            scenario's directory if there is one, else the scenario's directory.
        provider: Whose hosts all services get, whatever testbeds they name; by default what
            providers.yaml says, or the testbeds' own.

    Raises:
        ScenarioError: The scenario cannot be used; the message tells every problem, one a line.
    """
    directory = Path(scenario_dir)
    if artifacts_dir is None:
        artifacts_dir = directory / "artifacts"
        artifacts_dir = artifacts_dir if artifacts_dir.is_dir() else directory
    for what, path in (("scenario", directory), ("artifacts", Path(artifacts_dir))):
        if not path.is_dir():
            raise ScenarioError(f"{path}: is not a directory. Give the directory of the {what}.")
    if provider is not None and provider not in ProvidersFile.known_keys():
        there = list(ProvidersFile.known_keys())
        raise ScenarioError(
            f"provider: got {provider!r}. {suggestion(provider, there)}Allowed: {', '.join(there)}."
        )
    return _Loader(directory, Path(artifacts_dir), provider).load()


class _Loader:
    """Reads the files of one scenario, gathering problems."""

    def __init__(self, directory: Path, artifacts_dir: Path, provider: str | None) -> None:
        self._directory = directory
        self._provider = provider
        self._artifacts_dir = artifacts_dir
        self._problems = Problems()

    def load(self) -> Scenario:
        providers = self._providers()
        source, layers_services, known = self._layers_services()
        plays = self._workflow(known)
        networks = self._networks(known)
        app_confs = self._app_confs()
        self._problems.raise_if_any()
        assert source is not None  # noqa: S101  without it there is a problem
        assert layers_services is not None  # noqa: S101  as above
        placements = place(layers_services, providers.provider)
        return Scenario(
            directory=self._directory.resolve(),
            artifacts_dir=self._artifacts_dir.resolve(),
            layers_services=layers_services,
            placements=placements,
            plays=plays,
            networks=networks,
            app_confs=app_confs,
            obstacles=(*obstacles(source, layers_services, placements), *ansible_obstacles(plays)),
        )

    def _read(self, name: str, *, required: bool) -> YamlSource | None:
        path = self._directory / name
        if not path.exists():
            if required:
                found = suggestion(name, (other.name for other in self._directory.iterdir()))
                self._problems.add(path, 1, "", f"is missing. {found}Every scenario has a {name}.")
            return None
        return read_yaml(path, self._problems)

    def _layers_services(self) -> tuple[YamlSource | None, LayersServices | None, KnownHosts]:
        source = self._read(LAYERS_SERVICES, required=True)
        if source is None:
            return None, None, KnownHosts(())
        model = validate(source, LayersServices, self._problems, value=source.value)
        check_names(source, self._problems)
        check_metadata(source, self._problems)
        if model is not None:
            check_local_share(source, model, self._directory, self._problems)
            return source, model, KnownHosts(place(model))
        return source, None, KnownHosts.guessed(source.value)

    def _providers(self) -> ProvidersFile:
        if self._provider is not None:
            return ProvidersFile(**{self._provider: TESTBEDS})
        source = self._read(PROVIDERS, required=False)
        if source is None or source.value is None:
            return ProvidersFile()
        return validate(source, ProvidersFile, self._problems, value=source.value) or ProvidersFile()

    def _workflow(self, known: KnownHosts) -> tuple[Play, ...]:
        source = self._read(WORKFLOW, required=True)
        if source is None:
            return ()
        plays = read_workflow(source, known, self._problems)
        check_prefixes(source, self._problems)
        return plays

    def _networks(self, known: KnownHosts) -> tuple[Network, ...]:
        source = self._read(NETWORK, required=False)
        if source is None or source.value is None:
            return ()
        model = validate(source, NetworkFile, self._problems, value=source.value)
        networks = tuple(model.networks or ()) if model else ()
        for index, network in enumerate(networks):
            for key, pattern in (("src", network.src), ("dst", network.dst)):
                known.check(source, ("networks", index, key), pattern, self._problems)
        return networks

    def _app_confs(self) -> Mapping[str, Mapping[str, Any]]:
        source = self._read(WORKFLOW_ENV, required=False)
        if source is None or source.value is None:
            return {}
        return validate_kind(source, WORKFLOW_ENV_KIND, self._problems) or {}
