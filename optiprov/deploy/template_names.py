"""Which variables a template needs, without rendering it."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import jinja2
from jinja2 import nodes

BUILT_IN = frozenset(
    {"cycler", "dict", "joiner", "lipsum", "loop", "namespace", "now", "range", "self", "super", "varargs"}
    | {"kwargs", "caller", "lookup", "query", "q", "undef", "true", "false", "none", "True", "False", "None"}
)
"""Names that Jinja2 and Ansible give to every template."""

_OPTIONAL_FILTERS = frozenset({"default", "d", "mandatory"})
_OPTIONAL_TESTS = frozenset({"defined", "undefined"})


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
    try:
        tree = _environment().parse(source)
    except (jinja2.TemplateSyntaxError, RecursionError):
        return NOTHING
    own = {node.name for node in tree.find_all(nodes.Name) if node.ctx in {"store", "param"}}
    own |= {node.name for node in tree.find_all(nodes.Macro)}
    own |= {node.target for node in tree.find_all(nodes.Import)}
    optional: set[str] = set()
    for node in tree.find_all((nodes.Filter, nodes.Test)):
        names = _OPTIONAL_FILTERS if isinstance(node, nodes.Filter) else _OPTIONAL_TESTS
        if node.name in names and isinstance(node.node, nodes.Node):
            optional |= _dotted(node.node)
    needed = [
        Use(node.name, None, node.lineno)
        for node in tree.find_all(nodes.Name)
        if node.ctx == "load" and node.name not in own and node.name not in BUILT_IN
    ]
    needed += [use for use in _attributes(tree) if use.name not in own]
    return Uses(tuple(dict.fromkeys(needed)), frozenset(optional))


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    return jinja2.Environment(autoescape=False, extensions=["jinja2.ext.do"])  # noqa: S701  parses only


def _attributes(tree: nodes.Node) -> list[Use]:
    found = []
    for node in tree.find_all((nodes.Getattr, nodes.Getitem)):
        match node:
            case nodes.Getattr(node=nodes.Name(name=name), attr=str(attribute)):
                found.append(Use(name, attribute, node.lineno))
            case nodes.Getitem(node=nodes.Name(name=name), arg=nodes.Const(value=str(attribute))):
                found.append(Use(name, attribute, node.lineno))
    return found


def _dotted(node: nodes.Node) -> set[str]:
    """The variables below a node, and each attribute of one as `name.attribute`."""
    names = {each.name for each in node.find_all(nodes.Name)}
    if isinstance(node, nodes.Name):
        names.add(node.name)
    wrapped = nodes.Output([node], lineno=1) if isinstance(node, nodes.Expr) else node
    attributes = {f"{use.name}.{use.attribute}" for use in _attributes(wrapped)}
    return attributes or names
