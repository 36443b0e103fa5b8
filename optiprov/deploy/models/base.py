"""A model: a frozen dataclass whose fields are the keys of a mapping in a file."""

from __future__ import annotations

import dataclasses
from dataclasses import MISSING
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

from optiprov.deploy.frozen import frozen
from optiprov.deploy.kinds import INVALID, Kind, Place, Schema, shown
from optiprov.deploy.problems import suggestion

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping

    from typing_extensions import Self


class Key(NamedTuple):
    """What a model says of one key.

    Attributes:
        kind: What its value may be.
        about: What it means, in a line.
        default: Its value where it is not given; MISSING if it has to be.
        older: Other spellings of the key.
    """

    kind: Kind
    about: str
    default: Any
    older: tuple[str, ...]


def key(
    kind: Kind, about: str, *, default: Any = MISSING, factory: Any = MISSING, older: tuple[str, ...] = ()
) -> Any:
    """A field of a model that is a key of the file; null is as not given where the default is None."""
    metadata = {"kind": kind, "about": about, "older": older}
    if factory is not MISSING:
        return dataclasses.field(default_factory=factory, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


M = TypeVar("M", bound="Model")


@frozen(kw_only=True)
class Model:
    """What a mapping holds. Subclasses are dataclasses whose fields are made by `key`.

    Attributes:
        open_field: The field that takes keys which no other field names; None where they are errors.
        open_keys: The keys that it takes; None for any.
        hints: What messages say of keys that are not taken but often tried.
    """

    open_field: ClassVar[str | None] = None
    open_keys: ClassVar[frozenset[str] | None] = None
    hints: ClassVar[Mapping[str, str]] = {}

    @classmethod
    @cache
    def known_keys(cls) -> Mapping[str, Key]:
        """The keys, in the order in which the model has them."""
        return {
            each.name: Key(
                each.metadata["kind"], each.metadata["about"], _default(each), each.metadata["older"]
            )
            for each in dataclasses.fields(cls)
            if "kind" in each.metadata
        }

    @classmethod
    def build(cls, values: dict[str, Any]) -> Self:
        """The model of values that were read, in the order of the file."""
        return cls(**values)

    @classmethod
    def misfits(cls, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """What is wrong between keys: a key (empty for the whole mapping), and a message.

        Args:
            values: The values of the keys that are given, INVALID where one is wrong by itself.
        """
        del values
        return iter(())


def _default(each: dataclasses.Field[Any]) -> Any:
    return each.default_factory() if each.default_factory is not MISSING else each.default


def unknown_key(word: str, allowed: Iterable[str], not_yet: Container[str] = ()) -> str:
    """The message for a key that stands where only certain keys may."""
    names = list(allowed)
    listed = ", ".join(sorted(names))
    if word in not_yet:
        return f"{word!r} is not supported yet. Allowed here: {listed}."
    return f"unknown key {word!r}. {suggestion(word, names)}Allowed: {listed}."


def read_model(model: type[M], value: Any, place: Place) -> M | None:
    """The model of a mapping, or None after reporting everything that is wrong with it."""
    if not isinstance(value, dict):
        place.report(f"got {shown(value)}, expected a mapping.")
        return None
    found = len(place.problems.found)
    values = _read_values(model, value, place)
    for name, each in model.known_keys().items():
        if each.default is MISSING and name not in values and not _is_misspelled(name, value, model):
            place.report(f"the key {name!r} is missing. Add it.", name)
    for name, message in model.misfits(values):
        place.report(message, *([name] if name else []))
    return model.build(values) if len(place.problems.found) == found else None


def _is_misspelled(name: str, value: dict[Any, Any], model: type[Model]) -> bool:
    """Whether an unknown key looks like a key that is missing, which its message says."""
    keys = model.known_keys()
    return model.open_field is None and any(
        suggestion(str(raw), keys) == suggestion(name, [name]) for raw in value if raw not in keys
    )


def _read_values(model: type[Model], value: dict[Any, Any], place: Place) -> dict[str, Any]:
    keys, values = model.known_keys(), dict[str, Any]()
    current = {older: name for name, each in keys.items() for older in each.older}
    others: dict[str, Any] = {}
    for raw, element in value.items():
        given = str(raw)
        name = current.get(given, given)
        if name in keys:
            if name in values:
                place.report(f"is another spelling of {name!r}, which is given too. Keep one.", given)
            elif element is None and keys[name].default is None and not keys[name].kind.takes_nothing:
                values[name] = None
            else:
                values[name] = keys[name].kind.read(element, place.below(given))
        elif model.open_field is None or (model.open_keys is not None and given not in model.open_keys):
            allowed = [*keys, *(model.open_keys or ())]
            place.report(model.hints.get(given) or unknown_key(given, allowed), given)
        else:
            others[given] = element
    if model.open_field is not None:
        values[model.open_field] = others
    return values


@frozen
class Nested(Kind):
    """A mapping that is a model.

    Attributes:
        model: The model.
        or_nothing: Whether nothing stands for a mapping without keys (`local:`).
        alone: The key whose value may stand alone, in place of the mapping.
    """

    model: type[Model]
    or_nothing: bool = False
    alone: str | None = None

    @property
    def takes_nothing(self) -> bool:
        """As the model says."""
        return self.or_nothing

    def read(self, value: Any, place: Place) -> Any:
        """The model."""
        if value is None and self.or_nothing:
            value = {}
        if self.alone is not None and isinstance(value, str):
            value = {self.alone: value}
        made = read_model(self.model, value, place)
        return INVALID if made is None else made

    def json_schema(self, definitions: dict[str, Schema]) -> Schema:
        """A reference to the model's own."""
        name = self.model.__name__
        if name not in definitions:
            definitions[name] = {}  # taken while it is made: models may name each other
            definitions[name] = model_schema(self.model, definitions)
        reference = {"$ref": f"#/$defs/{name}"}
        others = [{"type": "null"}] if self.or_nothing else []
        if self.alone is not None:
            others.append({"type": "string"})
        return {"anyOf": [reference, *others]} if others else reference


def model_schema(model: type[Model], definitions: dict[str, Schema]) -> Schema:
    """The JSON Schema of a model."""
    properties: dict[str, Schema] = {}
    for name, each in model.known_keys().items():
        schema = each.kind.json_schema(definitions)
        if each.default is None:
            schema = {"anyOf": [schema, {"type": "null"}]}
        properties[name] = {"description": each.about, **schema}
        for older in each.older:
            properties[older] = {"description": f"An older spelling of {name}.", "deprecated": True, **schema}
    required = [name for name, each in model.known_keys().items() if each.default is MISSING]
    properties |= {name: {} for name in sorted(model.open_keys or ())}
    schema = {
        "type": "object",
        "description": (model.__doc__ or "").strip().splitlines()[0],
        "properties": properties,
        "additionalProperties": model.open_field is not None and model.open_keys is None,
    }
    return {**schema, "required": required} if required else schema
