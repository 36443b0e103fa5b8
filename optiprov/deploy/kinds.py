"""What the value of a key may be: each kind reads it, says what is wrong with it, and has a JSON Schema.

pydantic would do most of this, but importing it and building its models takes longer than a whole
`optiprov check` may (0.3 s), and its messages would have to be written anew all the same.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import field
from typing import TYPE_CHECKING, Any, Final

from optiprov.deploy.frozen import frozen
from optiprov.deploy.problems import suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from optiprov.deploy.problems import Problems
    from optiprov.deploy.yaml_source import KeyPath, YamlSource

INVALID: Final = object()
"""What `Kind.read` gives for a value that it has reported."""

SHOWN_LENGTH = 60

Schema = dict[str, Any]


@frozen
class Place:
    """Where a value stands, and where its problems go."""

    source: YamlSource
    key_path: KeyPath
    problems: Problems

    def report(self, message: str, *keys: str | int) -> None:
        """Add a problem here, or at keys below."""
        self.source.report(self.problems, (*self.key_path, *keys), message)

    def below(self, key: str | int) -> Place:
        """The place of a key or an element."""
        return Place(self.source, (*self.key_path, key), self.problems)


def shown(value: Any) -> str:
    """A value as messages show it: as Python writes it, cut when long."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no number of more than 4300 digits
        return "a number of too many digits"
    return text if len(text) <= SHOWN_LENGTH else text[: SHOWN_LENGTH - 3] + "..."


class Kind(ABC):
    """What a value may be. Kinds have no state that changes."""

    @property
    def takes_nothing(self) -> bool:
        """Whether null is a value, rather than the same as no key."""
        return False

    @abstractmethod
    def read(self, value: Any, place: Place) -> Any:
        """The value as models have it, or INVALID after reporting what is wrong."""

    @abstractmethod
    def json_schema(self, definitions: dict[str, Schema]) -> Schema:
        """The JSON Schema; models that it names are added to the definitions."""


def _refuse(value: Any, expected: str, place: Place) -> Any:
    place.report(f"got {shown(value)}, expected {expected}.")
    return INVALID


@frozen
class Anything(Kind):
    """Any value."""

    def read(self, value: Any, place: Place) -> Any:
        """The value."""
        del place
        return value

    def json_schema(self, definitions: dict[str, Schema]) -> Schema:
        """No restriction."""
        del definitions
        return {}


@frozen
class Text(Kind):
    """A text, of a certain form if `pattern` is given.

    Attributes:
        pattern: A regular expression for the whole text.
        expected: What a text of that form is, for messages.
        check: Says what else is wrong with a text of the form, None if nothing is.
    """

    pattern: str | None = None
    expected: str = "a text"
    check: Callable[[str], str | None] | None = None

    def problem(self, value: Any) -> str | None:
        """What is wrong with a value, None if nothing is."""
        is_of_form = isinstance(value, str) and (self.pattern is None or re.fullmatch(self.pattern, value))
        if not is_of_form:
            return f"got {shown(value)}, expected {self.expected}."
        found = self.check(value) if self.check is not None else None
        return f"got {shown(value)}, {found}." if found else None

    def read(self, value: Any, place: Place) -> Any:
        """The text."""
        if problem := self.problem(value):
            place.report(problem)
            return INVALID
        return value

    def json_schema(self, definitions: dict[str, Schema]) -> Schema:
        """A string."""
        del definitions
        return {"type": "string"} | ({"pattern": f"^(?:{self.pattern})$"} if self.pattern else {})


@frozen
class Whole(Kind):
    """A whole number within bounds."""

    at_least: int
    at_most: int | None = None

    def read(self, value: Any, place: Place) -> Any:
        """The number."""
        if isinstance(value, bool) or not isinstance(value, int):
            return _refuse(value, self._expected, place)
        if value < self.at_least or (self.at_most is not None and value > self.at_most):
            return _refuse(value, self._expected, place)
        return value

    @property
    def _expected(self) -> str:
        if self.at_most is None:
            return f"a whole number >= {self.at_least}"
        return f"a whole number from {self.at_least} to {self.at_most}"

    def json_schema(self, definitions: dict[str, Schema]) -> Schema:
        """An integer."""
        del definitions
        bounds = {"minimum": self.at_least} | ({} if self.at_most is None else {"maximum": self.at_most})
        return {"type": "integer", **bounds}


@frozen
class Flag(Kind):
    """True or false."""

    def read(self, value: Any, place: Place) -> Any:
        """The truth value."""
        return value if isinstance(value, bool) else _refuse(value, "true or false", place)

    def json_schema(self, definitions: dict[str, Schema]) -> Schema:
        """A boolean."""
        del definitions
        return {"type": "boolean"}


@frozen
class Scalar(Kind):
    """A text, a number or a truth value."""

    def read(self, value: Any, place: Place) -> Any:
        """The value."""
        if isinstance(value, str | int | float):
            return value
        return _refuse(value, "a text, a number or a boolean", place)

    def json_schema(self, definitions: dict[str, Schema]) -> Schema:
        """Any of the three."""
        del definitions
        return {"type": ["string", "number", "boolean"]}


@frozen
class Choice(Kind):
    """One of certain values.

    Attributes:
        values: The values.
        older: Other spellings, each with the value that it means.
    """

    values: tuple[str | int, ...]
    older: Mapping[str, str] = field(default_factory=dict)

    def read(self, value: Any, place: Place) -> Any:
        """The value, older spellings replaced."""
        if isinstance(value, str) and value in self.older:
            return self.older[value]
        for allowed in self.values:
            if type(value) is type(allowed) and value == allowed:
                return allowed
        listed = [str(allowed) for allowed in self.values]
        if str(value) in listed:
            hint = "Remove the quotes. " if isinstance(value, str) else "Put it in quotes. "
        else:
            hint = suggestion(str(value), listed)
        place.report(f"got {shown(value)}. {hint}Allowed: {', '.join(listed)}.")
        return INVALID

    def json_schema(self, definitions: dict[str, Schema]) -> Schema:
        """An enumeration."""
        del definitions
        return {"enum": [*self.values, *self.older]}


@frozen
class ListOf(Kind):
    """A list, as a tuple.

    Attributes:
        item: What its elements are.
        at_least: How many it needs.
        at_most: How many it may have.
        or_one: Whether one element may stand alone, without a list.
    """

    item: Kind
    at_least: int = 0
    at_most: int | None = None
    or_one: bool = False

    def read(self, value: Any, place: Place) -> Any:
        """The elements."""
        if self.or_one and not isinstance(value, list | dict) and value is not None:
            element = self.item.read(value, place)
            return INVALID if element is INVALID else (element,)
        if isinstance(value, dict):
            return _refuse(value, "a list: write '- ' before the first key of each element", place)
        if not isinstance(value, list):
            return _refuse(value, "a list", place)
        if len(value) < self.at_least:
            return _refuse(value, f"at least {self.at_least} of them", place)
        if self.at_most is not None and len(value) > self.at_most:
            return _refuse(value, f"at most {self.at_most} of them", place)
        elements = [self.item.read(element, place.below(index)) for index, element in enumerate(value)]
        return INVALID if INVALID in elements else tuple(elements)

    def json_schema(self, definitions: dict[str, Schema]) -> Schema:
        """An array."""
        item = self.item.json_schema(definitions)
        array: Schema = {"type": "array", "items": item}
        if self.at_least:
            array["minItems"] = self.at_least
        if self.at_most is not None:
            array["maxItems"] = self.at_most
        return {"anyOf": [array, item]} if self.or_one else array


@frozen
class MappingOf(Kind):
    """A mapping with free keys; nothing at all is an empty one.

    Attributes:
        item: What its values are.
        key: What its keys are.
    """

    item: Kind
    key: Text = field(default_factory=Text)

    def read(self, value: Any, place: Place) -> Any:
        """The mapping, whole numbers as keys made texts."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            return _refuse(value, "a mapping", place)
        result, is_valid = {}, True
        for raw, element in value.items():
            below = place.below(raw if isinstance(raw, str | int) else str(raw))
            is_number = isinstance(raw, int) and not isinstance(raw, bool)
            key = self.key.read(str(raw) if is_number else raw, below)
            read = self.item.read(element, below)
            if key is INVALID or read is INVALID:
                is_valid = False
            else:
                result[key] = read
        return result if is_valid else INVALID

    def json_schema(self, definitions: dict[str, Schema]) -> Schema:
        """An object with additional properties."""
        schema: Schema = {
            "type": ["object", "null"],
            "additionalProperties": self.item.json_schema(definitions),
        }
        if self.key.pattern:
            schema["propertyNames"] = {"pattern": f"^(?:{self.key.pattern})$"}
        return schema
