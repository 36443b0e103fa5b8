"""The content of a file against its model; what does not fit becomes problems with file and line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from optiprov.deploy.models import CHOICES_NOT_YET
from optiprov.deploy.problems import suggestion

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from pydantic_core import ErrorDetails

    from optiprov.deploy.problems import Problems
    from optiprov.deploy.yaml_source import KeyPath, YamlSource

Model = TypeVar("Model", bound=BaseModel)

EXPECTED = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "greater_than_equal": "a whole number >= {ge}",
    "too_short": "at least {min_length} of them",
}
SHOWN_LENGTH = 60


def validate(
    source: YamlSource, model: type[Model], problems: Problems, *, value: Any, at: KeyPath = ()
) -> Model | None:
    """The model made of a value that a file has at a key path, or None after noting every misfit."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        for details in error.errors(include_url=False):
            source.report(problems, (*at, *details["loc"]), _message(details, model))
    return None


def shown(value: Any) -> str:
    """A value as messages show it: as Python writes it, cut when long."""
    text = repr(value)
    return text if len(text) <= SHOWN_LENGTH else text[: SHOWN_LENGTH - 3] + "..."


def unknown_key(key: str, allowed: Iterable[str], not_yet: Container[str] = ()) -> str:
    """The message for a key that stands where only certain keys may."""
    listed = ", ".join(allowed)
    if key in not_yet:
        return f"{key!r} is not supported yet. Allowed here: {listed}."
    return f"unknown key {key!r}. {suggestion(key, allowed)}Allowed: {listed}."


def _message(details: ErrorDetails, model: type[BaseModel]) -> str:
    kind, got, context = details["type"], details["input"], details.get("ctx", {})
    if kind == "extra_forbidden":
        place = _model_at(model, details["loc"][:-1])
        return unknown_key(str(details["loc"][-1]), sorted(place.model_fields), getattr(place, "not_yet", ()))
    if kind == "missing":
        return f"the key {str(details['loc'][-1])!r} is missing. Add it."
    if kind == "value_error":
        return f"got {shown(got)}, {context['error']}."
    if kind == "literal_error":
        return _wrong_choice(got, str(context["expected"]).replace("'", "").replace(" or ", ", "))
    expected = EXPECTED[kind].format(**context) if kind in EXPECTED else details["msg"]
    return f"got {shown(got)}, expected {expected}."


def _wrong_choice(got: Any, allowed: str) -> str:
    if isinstance(got, str) and got in CHOICES_NOT_YET:
        return f"{got!r} is not supported yet. Allowed: {allowed}."
    return f"got {shown(got)}. {suggestion(str(got), allowed.split(', '))}Allowed: {allowed}."


def _model_at(model: type[BaseModel], location: tuple[str | int, ...]) -> type[BaseModel]:
    """The model that stands at a location below another model."""
    for part in location:
        if isinstance(part, str):
            model = _models_in(model.model_fields[part].annotation)[0]
    return model


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in getattr(annotation, "__args__", ()) for model in _models_in(argument)]
