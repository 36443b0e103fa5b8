"""A scenario: its files read, checked against each other, and ready to be deployed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optiprov.deploy.checks import check_local_share, check_metadata, check_names, check_prefixes
from optiprov.deploy.models import LayersServices, Network, NetworkFile
from optiprov.deploy.patterns import KnownHosts
from optiprov.deploy.placement import Placement, place
from optiprov.deploy.problems import Problems, suggestion
from optiprov.deploy.validation import shown, validate
from optiprov.deploy.workflow import Play, read_workflow
from optiprov.deploy.yaml_source import YamlSource, read_yaml
from optiprov.errors import ScenarioError

if TYPE_CHECKING:
    from collections.abc import Mapping

LAYERS_SERVICES = "layers_services.yaml"
NETWORK = "network.yaml"
WORKFLOW = "workflow.yaml"
WORKFLOW_ENV = "workflow_env.yaml"
FILES = (LAYERS_SERVICES, NETWORK, WORKFLOW, WORKFLOW_ENV)


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
    """

    directory: Path
    artifacts_dir: Path
    layers_services: LayersServices
    placements: tuple[Placement, ...]
    plays: tuple[Play, ...]
    networks: tuple[Network, ...] = ()
    app_confs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def job_name(self) -> str:
        """What the scenario calls itself."""
        return self.layers_services.environment.job_name

    @property
    def walltime_s(self) -> float | None:
        """How long an application may run, in seconds; None is without limit."""
        walltime = self.layers_services.environment.walltime
        if walltime is None:
            return None
        hours, minutes, seconds = (int(part) for part in walltime.split(":"))
        return float(3600 * hours + 60 * minutes + seconds)

    @property
    def input_dirs(self) -> tuple[Path, ...]:
        """What it reads from: its directory, its artifacts, and what `environment: local: share` names."""
        shared = (self.directory / path for path in self.layers_services.environment.local.share)
        return (self.directory, self.artifacts_dir, *shared)

    @property
    def files(self) -> tuple[Path, ...]:
        """The scenario's own files, those that exist."""
        return tuple(path for name in FILES if (path := self.directory / name).exists())


def load_scenario(scenario_dir: Path, artifacts_dir: Path | None = None) -> Scenario:
    """Read and check a scenario.

    Args:
        scenario_dir: The directory with layers_services.yaml and workflow.yaml, and optionally
            network.yaml and workflow_env.yaml.
        artifacts_dir: Where tasks find the files that they copy; by default `artifacts` in the
            scenario's directory if there is one, else the scenario's directory.

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
    return _Loader(directory, Path(artifacts_dir)).load()


class _Loader:
    """Reads the files of one scenario, gathering problems."""

    def __init__(self, directory: Path, artifacts_dir: Path) -> None:
        self._directory = directory
        self._artifacts_dir = artifacts_dir
        self._problems = Problems()

    def load(self) -> Scenario:
        layers_services, known = self._layers_services()
        plays = self._workflow(known)
        networks = self._networks(known)
        app_confs = self._app_confs()
        self._problems.raise_if_any()
        assert layers_services is not None  # noqa: S101  without it there is a problem
        return Scenario(
            directory=self._directory.resolve(),
            artifacts_dir=self._artifacts_dir.resolve(),
            layers_services=layers_services,
            placements=place(layers_services.layers),
            plays=plays,
            networks=networks,
            app_confs=app_confs,
        )

    def _read(self, name: str, *, required: bool) -> YamlSource | None:
        path = self._directory / name
        if not path.exists():
            if required:
                found = suggestion(name, (other.name for other in self._directory.iterdir()))
                self._problems.add(path, 1, "", f"is missing. {found}Every scenario has a {name}.")
            return None
        return read_yaml(path, self._problems)

    def _layers_services(self) -> tuple[LayersServices | None, KnownHosts]:
        source = self._read(LAYERS_SERVICES, required=True)
        if source is None:
            return None, KnownHosts(())
        model = validate(source, LayersServices, self._problems, value=source.value)
        check_names(source, self._problems)
        check_metadata(source, self._problems)
        if model is not None:
            check_local_share(source, model, self._directory, self._problems)
            return model, KnownHosts(place(model.layers))
        return None, KnownHosts.guessed(source.value)

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
        if not isinstance(source.value, dict):
            source.report(self._problems, (), f"got {shown(source.value)}, expected a mapping of named sets.")
            return {}
        for name, values in source.value.items():
            if not isinstance(values, dict):
                message = f"got {shown(values)}, expected a mapping of variables."
                source.report(self._problems, (str(name),), message)
        return {str(name): values for name, values in source.value.items()}
