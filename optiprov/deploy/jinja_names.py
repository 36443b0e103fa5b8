"""Which variables a template needs, as Jinja2 reads it."""

from __future__ import annotations

from functools import lru_cache

import jinja2
from jinja2 import nodes

from optiprov.deploy.template_names import BUILT_IN, NOTHING, Use, Uses

_OPTIONAL_FILTERS = frozenset({"default", "d", "mandatory"})
_OPTIONAL_TESTS = frozenset({"defined", "undefined"})


def uses_of(source: str) -> Uses:
    """The variables of a template; nothing for one that cannot be parsed, which others report."""
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
