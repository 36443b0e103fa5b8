"""What templates in scenarios mean: Jinja2 with Ansible's filters, tests, lookups and semantics.

Undefined variables are errors that say which variables there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import jinja2
from jinja2 import nodes
from jinja2.utils import missing

from optiprov.deploy.template_filters import FILTERS
from optiprov.deploy.template_lookups import GLOBALS, LOOKUPS
from optiprov.deploy.template_tests import TESTS
from optiprov.deploy.template_values import TemplateError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

BUILTIN_PREFIX = "ansible.builtin."
_FAILURES = (
    jinja2.TemplateError,
    ArithmeticError,
    AttributeError,
    TypeError,
    ValueError,
    LookupError,
    OSError,
)


class _Undefined(jinja2.StrictUndefined):
    """Tells the name that was asked for and, of a mapping, the names that it has.

    As in Ansible, an attribute of something undefined is undefined too, so that `a.b | default(1)` works.
    """

    @property
    def _undefined_message(self) -> str:
        name, owner = self._undefined_name, self._undefined_obj
        if self._undefined_hint:
            return self._undefined_hint
        if owner is missing:
            return f"variable {name!r} is not defined"
        if isinstance(owner, Mapping):
            return f"key {name!r} is not in the mapping; there are: {_listed(owner)}"
        return f"{type(owner).__name__} has no attribute {name!r}"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __getitem__(self, key: Any) -> Any:
        return self


class _Environment(jinja2.Environment):
    """Jinja2 in which `mapping.key` is the key, also when it is called `items`, `values` or `copy`."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)


@lru_cache(maxsize=1)
def _environment() -> _Environment:
    # The output is commands and configuration files, not HTML: nothing may be escaped.
    environment = _Environment(
        undefined=_Undefined, keep_trailing_newline=True, autoescape=False, extensions=["jinja2.ext.do"]
    )
    for known, ours in ((environment.filters, FILTERS), (environment.tests, TESTS)):
        known.update(ours)
        known.update({f"{BUILTIN_PREFIX}{name}": function for name, function in ours.items()})
    environment.globals.update(GLOBALS)
    return environment


@lru_cache(maxsize=16)
def _file_environment(
    sources: tuple[str, ...],
    trim_blocks: bool,  # noqa: FBT001  Ansible's name
    lstrip_blocks: bool,  # noqa: FBT001  Ansible's name
) -> jinja2.Environment:
    return _environment().overlay(
        trim_blocks=trim_blocks, lstrip_blocks=lstrip_blocks, loader=jinja2.FileSystemLoader(sources)
    )


def syntax_problem(text: str, *, has_escapes: bool = False) -> str | None:
    """What is wrong with the syntax of a template; None if nothing is.

    Args:
        text: The template.
        has_escapes: Whether backslashes in its texts escape, as in bare conditions.
    """
    try:
        _parsed(text, has_escapes=has_escapes)
    except jinja2.TemplateSyntaxError as error:
        return (error.message or str(error)).rstrip(".")  # it becomes a part of a sentence
    return None


def unknown_names(text: str, *, has_escapes: bool = False) -> list[tuple[str, str]]:
    """What a template of correct syntax uses and this package lacks: pairs of kind and name.

    The kinds are `filter`, `test` and `lookup`.
    """
    tree = _parsed(text, has_escapes=has_escapes)
    environment = _environment()
    found = [("filter", node.name) for node in tree.find_all(nodes.Filter)]
    found = [(kind, name) for kind, name in found if name not in environment.filters]
    tests = (node.name for node in tree.find_all(nodes.Test))
    found += [("test", name) for name in tests if name not in environment.tests]
    for call in tree.find_all(nodes.Call):
        match call:
            case nodes.Call(
                node=nodes.Name(name="lookup" | "query" | "q"), args=[nodes.Const(value=name), *_]
            ):
                if str(name).removeprefix(BUILTIN_PREFIX) not in LOOKUPS:
                    found.append(("lookup", str(name)))
    return found


def _parsed(text: str, *, has_escapes: bool) -> nodes.Template:
    if "\\" in text and not has_escapes:
        text = _with_literal_backslashes(text)
    return _environment().parse(text)


def render_content(
    text: str,
    variables: Mapping[str, Any],
    sources: Sequence[Path],
    *,
    trim_blocks: bool,
    lstrip_blocks: bool,
) -> str:
    """The content of a file rendered, which may include files of `sources`.

    Raises:
        TemplateError: As for `render_text`.
    """
    try:
        environment = _file_environment(tuple(map(str, sources)), trim_blocks, lstrip_blocks)
        return environment.from_string(text).render(variables)
    except _FAILURES as error:
        raise _told(error, variables) from error


def render_text(text: str, variables: Mapping[str, Any], *, has_escapes: bool = False) -> Any:
    """A template rendered; the value of an expression that stands alone.

    Raises:
        TemplateError: A variable is not defined, or an expression fails.
    """
    try:
        template, is_value = _compiled(text, has_escapes)
        if not is_value:
            return template.render(variables)
        context = template.new_context(dict(variables))
        for _ in template.root_render_func(context):
            pass
        value = context.vars["optiprov_value"]
        if isinstance(value, jinja2.Undefined):
            str(value)  # raises what it was that is undefined
    except _FAILURES as error:
        raise _told(error, variables) from error
    return value


def is_expression(text: str) -> bool:
    """Whether a template is an expression alone, in braces."""
    return _compiled(text)[1]


def _told(error: Exception, variables: Mapping[str, Any]) -> TemplateError:
    """What went wrong in a template, for its user."""
    if isinstance(error, TemplateError):
        return error
    if isinstance(error, jinja2.UndefinedError):
        message = error.message or str(error)
        listed = f"; there are: {_listed(variables)}" if message.startswith("variable ") else ""
        return TemplateError(f"{message}{listed}")
    return TemplateError(f"{type(error).__name__}: {error}")


@lru_cache(maxsize=2048)
def _compiled(
    text: str,
    has_escapes: bool = False,  # noqa: FBT001, FBT002  a cache's key
) -> tuple[jinja2.Template, bool]:
    """The template of a text, and whether that is an expression alone, with its value as `optiprov_value`."""
    environment = _environment()
    if "\\" in text and not has_escapes:
        text = _with_literal_backslashes(text)
    tree = environment.parse(text.strip() if text.strip().startswith("{{") else text)
    match tree.body:
        case [nodes.Output(nodes=[nodes.TemplateData()])]:
            pass
        case [nodes.Output(nodes=[nodes.Expr() as expression])]:
            assign = nodes.Assign(nodes.Name("optiprov_value", "store", lineno=1), expression, lineno=1)
            return environment.from_string(nodes.Template([assign], lineno=1)), True
    return environment.from_string(text), False


def _with_literal_backslashes(text: str) -> str:
    """A template whose texts in `{{ }}` have backslashes as they stand there, as in Ansible's playbooks."""
    parts = []
    is_inside = False
    for _, kind, token in _environment().lex(text):
        is_inside = kind == "variable_begin" or (is_inside and kind != "variable_end")
        parts.append(token.replace("\\", "\\\\") if is_inside and kind == "string" else token)
    return "".join(parts)


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(sorted(map(str, names))) or "none"
