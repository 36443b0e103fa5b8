"""Reads and checks the files of a scenario, and tells all their problems at once."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from optiprov.deploy.artifacts import check_artifacts, check_named_files, may_have_services
from optiprov.deploy.availability import monitoring_notices, network_notices, obstacles
from optiprov.deploy.checks import (
    check_firewall_rules,
    check_local_share,
    check_metadata,
    check_names,
    check_prefixes,
    check_profiles,
)
from optiprov.deploy.models import TESTBEDS, LayersServices, Network, NetworkFile, ProvidersFile
from optiprov.deploy.models import WORKFLOW_ENV as WORKFLOW_ENV_SETS
from optiprov.deploy.patterns import KnownHosts, known_hosts
from optiprov.deploy.placement import place
from optiprov.deploy.plays import ansible_obstacles
from optiprov.deploy.problems import Problem, Problems, suggestion
from optiprov.deploy.scenario import LAYERS_SERVICES, NETWORK, PROVIDERS, WORKFLOW, WORKFLOW_ENV, Scenario
from optiprov.deploy.surroundings import Surroundings
from optiprov.deploy.template_check import check_environments, check_plays
from optiprov.deploy.validation import elements, mapping, validate, validate_kind
from optiprov.deploy.variables import no_app_conf
from optiprov.deploy.workflow import Play, read_workflow
from optiprov.deploy.yaml_source import YamlSource, read_yaml
from optiprov.errors import ScenarioError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optiprov.deploy.services.finding import FoundServices


def load_scenario(
    scenario_dir: Path,
    artifacts_dir: Path | None = None,
    *,
    provider: str | None = None,
    app_confs: Sequence[str] = (),
) -> Scenario:
    """Read and check a scenario.

    Args:
        scenario_dir: The directory with layers_services.yaml and workflow.yaml, and optionally
            network.yaml, workflow_env.yaml and providers.yaml.
        artifacts_dir: Where tasks find the files that they copy; by default `artifacts` in the
            scenario's directory if there is one, else the scenario's directory.
        provider: Whose hosts all services get, whatever testbeds they name; by default what
            providers.yaml says, or the testbeds' own.
        app_confs: The sets of workflow_env.yaml with which it will run.

    Raises:
        ScenarioError: The scenario cannot be used; the message tells every problem, one a line.
    """
    checked = check_scenario(scenario_dir, artifacts_dir, provider=provider, app_confs=app_confs)
    if checked.scenario is None:
        raise ScenarioError("\n".join(str(problem) for problem in checked.problems))
    return checked.scenario


def check_deployable(
    scenario_dirs: Sequence[Path],
    artifacts_dir: Path | None,
    *,
    provider: str | None = None,
    without: Sequence[str] = (),
    app_confs: Sequence[str] = (),
) -> list[Scenario]:
    """Check scenarios, all before the first of them is deployed.

    Returns:
        The scenarios.

    Raises:
        ScenarioError: Some cannot be deployed; the message has all problems of all of them.
    """
    scenarios, problems = [], []
    for directory in scenario_dirs:
        try:
            scenario = load_scenario(directory, artifacts_dir, provider=provider, app_confs=app_confs)
            scenarios.append(scenario.without(without))
            scenarios[-1].require_deployable()
        except ScenarioError as error:
            problems.append(str(error))
    if problems:
        raise ScenarioError("\n".join(problems))
    return scenarios


class Checked(NamedTuple):
    """What checking a scenario gives: the scenario, or what is wrong with it.

    Attributes:
        scenario: The scenario; None if there are problems.
        problems: Everything that is wrong, in the order of files and lines.
    """

    scenario: Scenario | None
    problems: tuple[Problem, ...]


def check_scenario(
    scenario_dir: Path,
    artifacts_dir: Path | None = None,
    *,
    provider: str | None = None,
    app_confs: Sequence[str] = (),
) -> Checked:
    """Read and check a scenario as `load_scenario` does, and give its problems one by one.

    Raises:
        ScenarioError: A directory does not exist, or there is no such provider.
    """
    directory = Path(scenario_dir)
    artifacts_dir = artifacts_of(directory, artifacts_dir)
    for what, path in (("scenario", directory), ("artifacts", Path(artifacts_dir))):
        if not path.is_dir():
            raise ScenarioError(f"{path}: is not a directory. Give the directory of the {what}.")
    if provider is not None and provider not in ProvidersFile.known_keys():
        there = list(ProvidersFile.known_keys())
        raise ScenarioError(
            f"provider: got {provider!r}. {suggestion(provider, there)}Allowed: {', '.join(there)}."
        )
    return _Loader(directory, Path(artifacts_dir), provider, tuple(app_confs)).check()


def artifacts_of(scenario_dir: Path, artifacts_dir: Path | None) -> Path:
    """The directory of a scenario's artifacts: what is given, else `artifacts` there, else the scenario's."""
    if artifacts_dir is not None:
        return artifacts_dir
    inside = scenario_dir / "artifacts"
    return inside if inside.is_dir() else scenario_dir


class _Loader:
    """Reads the files of one scenario, gathering problems."""

    def __init__(
        self, directory: Path, artifacts_dir: Path, provider: str | None, app_confs: tuple[str, ...]
    ) -> None:
        self._directory = directory
        self._artifacts_dir = artifacts_dir
        self._provider = provider
        self._chosen = app_confs
        self._problems = Problems()
        self._notices = Problems()
        self._network: YamlSource | None = None

    def check(self) -> Checked:
        providers = self._providers()
        source, content = self._layers_services()
        services = None if source is None else self._services(source)
        known = KnownHosts(()) if source is None else known_hosts(source, content, services)
        app_confs, sets = self._app_confs()
        is_chosen = bool(self._chosen) and len(sets) == len(self._chosen)
        around = Surroundings(self._directory, self._artifacts_dir, known, sets, is_chosen)
        if source is not None:
            check_named_files(source, around, self._problems)
            check_environments(source, around, self._problems)
            check_firewall_rules(source, known, self._problems)
        plays = self._workflow(around)
        networks = self._networks(around)
        problems = self._problems.in_order()
        if problems or source is None or content is None:
            return Checked(None, problems)
        placements = place(content, providers.provider)
        lacking = Problems()
        if services is not None:
            from optiprov.deploy.services.finding import service_obstacles

            service_obstacles(source, services, placements, lacking)
        networked = network_notices(self._network, content, placements) if self._network else ()
        scenario = Scenario(
            directory=self._directory.resolve(),
            artifacts_dir=self._artifacts_dir.resolve(),
            layers_services=content,
            placements=placements,
            plays=plays,
            networks=networks,
            app_confs=app_confs,
            obstacles=(
                *obstacles(
                    source,
                    content,
                    placements,
                    providers.provider,
                    is_chosen=self._provider is not None,
                ),
                *ansible_obstacles(plays),
                *lacking.in_order(),
            ),
            notices=(*monitoring_notices(source, content), *networked, *self._notices.in_order()),
            lacking=lacking.in_order(),
            services=services.sources if services is not None else {},
        )
        return Checked(scenario, ())

    def _read(self, name: str, *, required: bool) -> YamlSource | None:
        path = self._directory / name
        if not path.exists():
            if required:
                found = suggestion(name, (other.name for other in self._directory.iterdir()))
                self._problems.add(path, 1, "", f"is missing. {found}Every scenario has a {name}.")
            return None
        return read_yaml(path, self._problems)

    def _layers_services(self) -> tuple[YamlSource | None, LayersServices | None]:
        source = self._read(LAYERS_SERVICES, required=True)
        if source is None:
            return None, None
        content = validate(source, LayersServices, self._problems, value=source.value)
        check_names(source, self._problems)
        check_metadata(source, self._problems)
        check_profiles(source, self._problems)
        check_local_share(source, self._directory, self._problems)
        return source, content

    def _services(self, source: YamlSource) -> FoundServices | None:
        """The classes that deploy services; None where there may be none."""
        layers = [layer for _, layer in elements(source.value, "layers")]
        names = {str(one.get("name")) for layer in layers for _, one in elements(layer, "services")}
        if not may_have_services(names, self._artifacts_dir):
            return None
        from optiprov.deploy.services.finding import find_services

        found = find_services(source, self._artifacts_dir, self._problems)
        return found if found.sources else None

    def _providers(self) -> ProvidersFile:
        if self._provider is not None:
            return ProvidersFile(**{self._provider: TESTBEDS})
        source = self._read(PROVIDERS, required=False)
        if source is None or source.value is None:
            return ProvidersFile()
        return validate(source, ProvidersFile, self._problems, value=source.value) or ProvidersFile()

    def _workflow(self, around: Surroundings) -> tuple[Play, ...]:
        source = self._read(WORKFLOW, required=True)
        if source is None:
            return ()
        plays = read_workflow(source, around.known, self._problems)
        check_prefixes(source, self._problems)
        check_artifacts(source, around, self._problems)
        check_plays(source, around, self._problems)
        return plays

    def _networks(self, around: Surroundings) -> tuple[Network, ...]:
        source = self._read(NETWORK, required=False)
        if source is None or source.value is None:
            return ()
        from optiprov.deploy.network.check import check_overlaps, check_templates  # few have a network

        for index, rule in elements(source.value, "networks"):
            for key in ("src", "dst"):
                around.known.of_files().check(source, ("networks", index, key), rule.get(key), self._problems)
        check_templates(source, around, self._problems)
        content = validate(source, NetworkFile, self._problems, value=source.value)
        found = content.networks or () if content else ()
        rules = tuple(
            dataclasses.replace(rule, line=source.line(("networks", index)))
            for index, rule in enumerate(found)
        )
        check_overlaps(source, rules, around.known, self._notices)
        self._network = source if rules else None
        return rules

    def _app_confs(self) -> tuple[Mapping[str, Mapping[str, Any]], list[dict[Any, Any]]]:
        """The sets of variables, and those with which the scenario runs, as they stand in the file."""
        source = self._read(WORKFLOW_ENV, required=False)
        raw = source.value if source is not None and isinstance(source.value, dict) else {}
        there = {str(name): values for name, values in raw.items()}
        for name in self._chosen:
            if name not in there:
                path = self._directory / WORKFLOW_ENV
                self._problems.add(path, 1, "", no_app_conf(path, name, there))
        app_confs = validate_kind(source, WORKFLOW_ENV_SETS, self._problems) if source else {}
        chosen = [name for name in self._chosen if name in there]
        return app_confs or {}, [mapping(there, name) for name in chosen or there]
