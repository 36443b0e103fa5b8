"""The content of a file against what it may hold; what does not fit becomes problems with file and line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from optiprov.deploy.kinds import INVALID, Kind, Place, shown
from optiprov.deploy.models.base import Model, read_model, unknown_key

if TYPE_CHECKING:
    from optiprov.deploy.problems import Problems
    from optiprov.deploy.yaml_source import KeyPath, YamlSource

M = TypeVar("M", bound=Model)

__all__ = ["shown", "unknown_key", "validate", "validate_kind"]


def validate(
    source: YamlSource, model: type[M], problems: Problems, *, value: Any, at: KeyPath = ()
) -> M | None:
    """The model made of a value that a file has at a key path, or None after noting every misfit."""
    return read_model(model, value, Place(source, at, problems))


def validate_kind(source: YamlSource, kind: Kind, problems: Problems) -> Any:
    """What a whole file holds that is no model, or None after noting every misfit."""
    read = kind.read(source.value, Place(source, (), problems))
    return None if read is INVALID else read
