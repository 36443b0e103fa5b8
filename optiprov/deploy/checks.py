"""Checks across the parts of a scenario that no model of one part can make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optiprov.deploy.models import Service
from optiprov.deploy.problems import suggestion
from optiprov.deploy.validation import elements, mapping
from optiprov.deploy.variable_names import RESERVED, SELF_KEYS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from optiprov.deploy.patterns import KnownHosts
    from optiprov.deploy.problems import Problems
    from optiprov.deploy.yaml_source import KeyPath, YamlSource

MISSPELLING_CUTOFF = 0.85


def check_names(source: YamlSource, problems: Problems) -> None:
    """Report layers, and services of a layer, that have the same name (case does not matter)."""
    _check_unique(source, ("layers",), elements(source.value, "layers"), "layer", problems)
    for index, layer in elements(source.value, "layers"):
        services = elements(layer, "services")
        _check_unique(source, ("layers", index, "services"), services, "service", problems)


def check_metadata(source: YamlSource, problems: Problems) -> None:
    """Report metadata that would hide what `_self` holds, and what looks like a misspelled key."""
    import difflib

    keys = list(Service.known_keys())
    for layer_index, layer in elements(source.value, "layers"):
        for index, service in elements(layer, "services"):
            at = ("layers", layer_index, "services", index)
            for key in (str(key) for key in service if key not in keys):
                near = difflib.get_close_matches(key, keys, n=1, cutoff=MISSPELLING_CUTOFF)
                if key in SELF_KEYS:
                    message = f"{key!r} is set by optiprov in _self. Give this metadata another name."
                    source.report(problems, (*at, key), message)
                elif near:
                    message = (
                        f"unknown key {key!r}. Did you mean {near[0]!r}? Else name this metadata otherwise."
                    )
                    source.report(problems, (*at, key), message)


def check_prefixes(source: YamlSource, problems: Problems) -> None:
    """Report prefixes that would hide a variable which every task has, or another's of the play."""
    plays = source.value if isinstance(source.value, list) else []
    for play_index, play in enumerate(plays):
        first_lines: dict[str, int] = {}
        for index, dependency in elements(play, "depends_on"):
            prefix, at = dependency.get("prefix"), (play_index, "depends_on", index, "prefix")
            if not isinstance(prefix, str):
                continue
            if prefix in RESERVED:
                message = f"got {prefix!r}, a variable that every task has. Choose another prefix."
                source.report(problems, at, message)
            elif prefix in first_lines:
                first = first_lines[prefix]
                message = f"the prefix {prefix!r} is there twice, first in line {first}. Choose another."
                source.report(problems, at, message)
            first_lines.setdefault(prefix, source.line(at))


def check_local_share(source: YamlSource, directory: Path, problems: Problems) -> None:
    """Report shared directories that do not exist."""
    local = mapping(mapping(source.value, "environment"), "local")
    share = local.get("share")
    for index, path in enumerate(share if isinstance(share, list) else [share]):
        if isinstance(path, str) and not _is_directory(directory / path):
            message = f"got {path!r}, not a directory. Give one, relative to the scenario or absolute."
            source.report(problems, ("environment", "local", "share", index), message)


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # such as a name that is too long, or has a null byte
        return False


def check_profiles(source: YamlSource, problems: Problems) -> None:
    """Report services of FIT IoT-LAB whose `profile` is none of those of monitoring_iotlab."""
    monitoring = mapping(source.value, "monitoring_iotlab")
    names = [str(profile.get("name")) for _, profile in elements(monitoring, "profiles")]
    for layer_index, layer in elements(source.value, "layers") if names else ():
        for index, service in elements(layer, "services"):
            profile = service.get("profile")
            if profile is not None and str(profile) not in names:
                message = f"got {profile!r}. {suggestion(str(profile), names)}There are: {', '.join(names)}."
                source.report(problems, ("layers", layer_index, "services", index, "profile"), message)


def check_firewall_rules(source: YamlSource, known: KnownHosts, problems: Problems) -> None:
    """Report rules for what is neither a layer, a service nor a role."""
    environment = mapping(source.value, "environment")
    places: list[tuple[KeyPath, dict[Any, Any]]] = [
        (("environment", "g5k"), mapping(environment, "g5k")),
        (("environment",), environment),
        ((), source.value if isinstance(source.value, dict) else {}),
    ]
    services = {host.id.split(".")[1] for host in known.hosts} | {"provenance_service", "monitoring_service"}
    for at, holder in places:
        for index, rule in elements(holder, "firewall_rules"):
            named = rule.get("services")
            for position, name in enumerate(named if isinstance(named, list) else [named]):
                if isinstance(name, str) and name.lower() not in services:
                    where = (*at, "firewall_rules", index, "services", position)
                    known.check(source, where, name, problems)


def _check_unique(
    source: YamlSource,
    at: KeyPath,
    elements: Iterator[tuple[int, dict[str, Any]]],
    what: str,
    problems: Problems,
) -> None:
    first_lines: dict[str, int] = {}
    for index, element in elements:
        name = element.get("name")
        if not isinstance(name, str):
            continue
        key_path = (*at, index, "name")
        line = source.line(key_path)
        first = first_lines.get(name.lower())
        first_lines.setdefault(name.lower(), line)
        if first is not None:
            message = (
                f"the {what} {name!r} is there twice, first in line {first}. Rename one, or set its quantity."
            )
            source.report(problems, key_path, message)
