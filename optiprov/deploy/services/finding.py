"""Which class deploys a service: found by the service's name, and checked without running it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optiprov.deploy.frozen import frozen
from optiprov.deploy.services.sources import (
    ADDED,
    SCENARIO,
    SHIPPED,
    ServiceSource,
    added_directory,
    installed_sources,
    service_files,
    shipped_sources,
)
from optiprov.deploy.validation import elements

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from optiprov.deploy.placement import Placement
    from optiprov.deploy.problems import Problems
    from optiprov.deploy.services.reading import ServiceClass, ServiceFile
    from optiprov.deploy.yaml_source import KeyPath, YamlSource

LOCAL = "local"


@frozen
class FoundServices:
    """The classes of a scenario's services.

    Attributes:
        sources: The class of each service that has one, by the service's name.
    """

    sources: Mapping[str, ServiceSource]

    @property
    def names(self) -> dict[str, frozenset[str] | None]:
        """The names of these services, in lower case, with what they may call sub services and roles."""
        return {name.lower(): source.words for name, source in self.sources.items()}


def find_services(source: YamlSource, artifacts_dir: Path, problems: Problems) -> FoundServices:
    """The classes of the services of a layers_services.yaml; what is wrong with them is noted.

    A class of the scenario's artifacts goes before one that the user has added, that before one of an
    installed package, and that before ours.
    """
    own, added = service_files(artifacts_dir), service_files(added_directory())
    installed, shipped = installed_sources(), shipped_sources()
    found: dict[str, ServiceSource] = {}
    for at, service in _services(source):
        name = service.get("name")
        if not isinstance(name, str) or name in found:
            continue
        chosen = (
            _choose(name, own, SCENARIO, source, at, problems)
            or _choose(name, added, ADDED, source, at, problems)
            or installed.get(name)
            or shipped.get(name)
        )
        if chosen is not None:
            found[name] = chosen
    for at, service in _services(source):
        chosen = found.get(str(service.get("name")))
        if chosen is not None and chosen.origin == SHIPPED:
            _check_keys(chosen, service, source, at, problems)
    return FoundServices(found)


def service_obstacles(
    source: YamlSource,
    found: FoundServices,
    placements: Sequence[Placement],
    problems: Problems,
) -> None:
    """Note what classes need and cannot be had here."""
    from importlib.util import find_spec

    local = {placement.service for placement in placements if placement.testbed == LOCAL}
    for at, service in _services(source):
        chosen = found.sources.get(str(service.get("name")))
        if chosen is None:
            continue
        message = None
        if chosen.enoslib_line is not None and find_spec("enoslib") is None:
            from optiprov.deploy.services.loading import NO_ENOSLIB

            message = f"{chosen.path}:{chosen.enoslib_line} imports enoslib: {NO_ENOSLIB}"
        elif chosen.origin == SHIPPED and chosen.name in local:
            message = _shipped(chosen).obstacle()
        if message is not None:
            source.report(problems, (*at, "name"), message)


def _services(source: YamlSource) -> Iterator[tuple[KeyPath, dict[str, Any]]]:
    for layer_index, layer in elements(source.value, "layers"):
        for index, service in elements(layer, "services"):
            yield ("layers", layer_index, "services", index), service


def _check_keys(
    chosen: ServiceSource, service: Mapping[str, Any], source: YamlSource, at: KeyPath, problems: Problems
) -> None:
    for key, message in _shipped(chosen).misfits(service):
        source.report(problems, (*at, key) if key in service else at, message)


def _shipped(chosen: ServiceSource) -> Any:
    from optiprov.deploy.services.loading import load_class

    return load_class(chosen)


def _choose(
    name: str,
    files: Sequence[ServiceFile],
    origin: str,
    source: YamlSource,
    at: KeyPath,
    problems: Problems,
) -> ServiceSource | None:
    """The class of some files that is for a service: by its own name, else by that of its file."""
    its_own = [file for file in files if file.path.stem == name]
    named = [(file, one) for file in files for one in file.classes if one.name == name]
    classes = named or [(file, one) for file in its_own for one in file.leaves]
    for file in its_own:
        if file.problem is not None:
            problems.add(file.path, file.problem[0], "", file.problem[1])
            return None
    if not classes:
        _report_none(name, files, problems)
        return None
    if len(classes) > 1:
        listed = " and ".join(f"{one.name} ({file.path}:{one.line})" for file, one in classes)
        message = f"two classes for the service {name!r}: {listed}. Call the one that is meant {name!r}."
        source.report(problems, (*at, "name"), message)
        return None
    file, one = classes[0]
    if not one.has_deploy:
        message = f"the class {one.name} has no method deploy(self). Write it."
        problems.add(file.path, one.line, "", message)
        return None
    return _source(name, file, one, origin)


def _report_none(name: str, files: Sequence[ServiceFile], problems: Problems) -> None:
    """Report a file that is meant to have the class of a service, and has none."""
    for file in files:
        line = dict(file.others).get(name)
        if line is not None and file.imports_service:
            message = f"the class {name} is no subclass of Service. Write class {name}(Service)."
            problems.add(file.path, line, "", message)
        elif file.path.stem == name and file.imports_service:
            message = f"has no subclass of Service. Write class {name}(Service) with a method deploy(self)."
            problems.add(file.path, 1, "", message)


def _source(name: str, file: ServiceFile, one: ServiceClass, origin: str) -> ServiceSource:
    return ServiceSource(
        name,
        origin,
        one.name,
        path=file.path.resolve(),
        line=one.line,
        about=one.about,
        words=file.words,
        enoslib_line=file.enoslib_line,
    )
