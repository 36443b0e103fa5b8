"""The content of a file against what it may hold; what does not fit becomes problems with file and line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from optiprov.deploy.kinds import INVALID, Kind, Place, shown
from optiprov.deploy.models.base import Model, read_model, unknown_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optiprov.deploy.problems import Problems
    from optiprov.deploy.yaml_source import KeyPath, YamlSource

M = TypeVar("M", bound=Model)

__all__ = ["elements", "shown", "unknown_key", "validate", "validate_kind"]


def validate(
    source: YamlSource, model: type[M], problems: Problems, *, value: Any, at: KeyPath = ()
) -> M | None:
    """The model made of a value that a file has at a key path, or None after noting every misfit."""
    return read_model(model, value, Place(source, at, problems))


def validate_kind(source: YamlSource, kind: Kind, problems: Problems) -> Any:
    """What a whole file holds that is no model, or None after noting every misfit."""
    read = kind.read(source.value, Place(source, (), problems))
    return None if read is INVALID else read


def elements(value: Any, key: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The mappings in the list that a mapping has under a key; what has another shape is left out."""
    found = value.get(key) if isinstance(value, dict) else None
    if isinstance(found, list):
        yield from ((index, element) for index, element in enumerate(found) if isinstance(element, dict))


def mapping(value: Any, key: str) -> dict[Any, Any]:
    """The mapping that a mapping has under a key; an empty one where it has none."""
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}
