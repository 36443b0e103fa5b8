"""Which variables a template needs, without rendering it."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from optiprov.deploy.plain_templates import Reference, parts

BUILT_IN = frozenset(
    {"cycler", "dict", "joiner", "lipsum", "loop", "namespace", "now", "range", "self", "super", "varargs"}
    | {"kwargs", "caller", "lookup", "query", "q", "undef", "true", "false", "none", "True", "False", "None"}
)
"""Names that Jinja2 and Ansible give to every template."""


class Use(NamedTuple):
    """A variable that a template uses.

    Attributes:
        name: The variable.
        attribute: The key of it that is used; None for the variable itself.
        line: The line in the text.
    """

    name: str
    attribute: str | None
    line: int


class Uses(NamedTuple):
    """What a template uses, and what it does not need.

    Attributes:
        needed: The variables that it uses.
        optional: Variables, and `name.attribute`, that it also does without: it asks whether they
            are defined, or has a default for them.
    """

    needed: tuple[Use, ...]
    optional: frozenset[str]


NOTHING = Uses((), frozenset())


@lru_cache(maxsize=4096)
def uses(text: str, *, is_expression: bool = False) -> Uses:
    """The variables of a template; nothing for one that cannot be parsed, which others report."""
    if not is_expression and "{" not in text:
        return NOTHING
    source = f"{{{{ {text} }}}}" if is_expression and "{{" not in text and "{%" not in text else text
    found = parts(source)
    if found is None:
        from optiprov.deploy.jinja_names import uses_of

        return uses_of(source)
    references = [part for part in found if isinstance(part, Reference)]
    needed = [Use(names[0], None, line) for names, line in references if names[0] not in BUILT_IN]
    needed += [Use(names[0], names[1], line) for names, line in references if names[1:]]
    return Uses(tuple(dict.fromkeys(needed)), frozenset())
