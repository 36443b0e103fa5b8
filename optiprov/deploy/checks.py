"""Checks across the parts of a scenario that no model of one part can make."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from optiprov.deploy.models import Service
from optiprov.deploy.variable_names import RESERVED, SELF_KEYS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from optiprov.deploy.models import LayersServices
    from optiprov.deploy.problems import Problems
    from optiprov.deploy.yaml_source import KeyPath, YamlSource

MISSPELLING_CUTOFF = 0.85


def check_names(source: YamlSource, problems: Problems) -> None:
    """Report layers, and services of a layer, that have the same name (case does not matter)."""
    _check_unique(source, ("layers",), _elements(source.value, "layers"), "layer", problems)
    for index, layer in _elements(source.value, "layers"):
        services = _elements(layer, "services")
        _check_unique(source, ("layers", index, "services"), services, "service", problems)


def check_metadata(source: YamlSource, problems: Problems) -> None:
    """Report metadata that would hide what `_self` holds, and what looks like a misspelled key."""
    keys = list(Service.known_keys())
    for layer_index, layer in _elements(source.value, "layers"):
        for index, service in _elements(layer, "services"):
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
    """Report prefixes that would hide a variable which every task has."""
    plays = source.value if isinstance(source.value, list) else []
    for play_index, play in enumerate(plays):
        for index, dependency in _elements(play, "depends_on"):
            prefix = dependency.get("prefix")
            if prefix in RESERVED:
                message = f"got {prefix!r}, a variable that every task has. Choose another prefix."
                source.report(problems, (play_index, "depends_on", index, "prefix"), message)


def check_local_share(source: YamlSource, model: LayersServices, directory: Path, problems: Problems) -> None:
    """Report shared directories that do not exist."""
    local = model.environment.local
    for index, path in enumerate(local.share if local else ()):
        if not (directory / path).is_dir():
            message = f"got {path!r}, not a directory. Give one, relative to the scenario or absolute."
            source.report(problems, ("environment", "local", "share", index), message)


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
        first = first_lines.setdefault(name.lower(), line)
        if first != line:
            message = (
                f"the {what} {name!r} is there twice, first in line {first}. Rename one, or set its quantity."
            )
            source.report(problems, key_path, message)


def _elements(value: Any, key: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The mappings in the list that a mapping has under a key; what has another shape is left out."""
    elements = value.get(key) if isinstance(value, dict) else None
    if isinstance(elements, list):
        yield from ((index, element) for index, element in enumerate(elements) if isinstance(element, dict))
