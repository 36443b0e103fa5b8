"""Templates of texts and variables alone, such as `{{ working_dir }}/data`, without Jinja2.

Most templates of most scenarios are such, and importing Jinja2 takes as long as all else that a small
deployment imports of others. What is rendered here is what Jinja2 makes of it; anything else, a variable
that is not there included, is left to Jinja2, which also tells what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from keyword import iskeyword
from typing import Any, NamedTuple

_REFERENCE = re.compile(r"(?<!\{)\{\{ *([A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*) *\}\}")
_BEGINS = re.compile(r"\{[{%#]|\r")  # Jinja2 makes \n of \r
_MEANT_OTHERWISE = frozenset(
    {"true", "false", "none", "self", "super", "loop", "caller", "varargs", "kwargs"}
)

NOT_PLAIN = object()
"""What `rendered` returns for what it leaves to Jinja2."""


class Reference(NamedTuple):
    """A variable in a template, with the keys that lead into it.

    Attributes:
        names: The variable, then the keys.
        line: The line in the text.
    """

    names: tuple[str, ...]
    line: int


@lru_cache(maxsize=4096)
def parts(text: str) -> tuple[str | Reference, ...] | None:
    """The texts and references of a template, in order; None if there is more to it.

    >>> parts("cp {{ a.b }} .")
    ('cp ', Reference(names=('a', 'b'), line=1), ' .')
    >>> parts("{{ a | upper }}") is None
    True
    """
    found: list[str | Reference] = []
    end = 0
    for match in _REFERENCE.finditer(text):
        names = tuple(match[1].split("."))
        if any(iskeyword(name) or name in _MEANT_OTHERWISE for name in names):
            return None
        found += [text[end : match.start()], Reference(names, text.count("\n", 0, match.start()) + 1)]
        end = match.end()
    found.append(text[end:])
    if any(isinstance(part, str) and _BEGINS.search(part) for part in found):
        return None
    return tuple(part for part in found if part)


def rendered(text: str, variables: Mapping[str, Any]) -> Any:
    """A plain template rendered: the value of a reference alone, else a text; or `NOT_PLAIN`."""
    found = parts(text)
    if found is None:
        return NOT_PLAIN
    alone = [part for part in found if isinstance(part, Reference) or part.strip()]
    if len(alone) == 1 and isinstance(alone[0], Reference):
        return _value(alone[0], variables)
    return _joined(found, variables)


def rendered_content(text: str, variables: Mapping[str, Any]) -> Any:
    """As `rendered`, always a text: the content of a file."""
    found = parts(text)
    return NOT_PLAIN if found is None else _joined(found, variables)


def _joined(found: tuple[str | Reference, ...], variables: Mapping[str, Any]) -> Any:
    values = [_value(part, variables) if isinstance(part, Reference) else part for part in found]
    if any(value is NOT_PLAIN for value in values):
        return NOT_PLAIN
    return "".join(map(str, values))


def _value(reference: Reference, variables: Mapping[str, Any]) -> Any:
    value: Any = variables
    for name in reference.names:
        if not isinstance(value, Mapping) or name not in value:
            return NOT_PLAIN
        value = value[name]
    return value
