"""Jinja2 templates in scenarios: strict about undefined variables, and says which there are."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import jinja2
from jinja2.utils import missing


class TemplateError(ValueError):
    """A template that cannot be rendered; the message names the variable and those that there are."""


class _Undefined(jinja2.StrictUndefined):
    """Tells the name that was asked for and, of a mapping, the names that it has."""

    @property
    def _undefined_message(self) -> str:
        name, owner = self._undefined_name, self._undefined_obj
        if owner is missing:
            return f"variable {name!r} is not defined"
        if isinstance(owner, Mapping):
            return f"key {name!r} is not in the mapping; there are: {_listed(owner)}"
        return f"{type(owner).__name__} has no attribute {name!r}"


class _Environment(jinja2.Environment):
    """Jinja2 in which `mapping.key` is the key, also when it is called `items`, `values` or `copy`."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)


@lru_cache(maxsize=1)
def _environment() -> _Environment:
    # The output is commands and configuration files, not HTML: nothing may be escaped.
    return _Environment(undefined=_Undefined, keep_trailing_newline=True, autoescape=False)


def syntax_problem(text: str) -> str | None:
    """What is wrong with the syntax of a template, None if nothing is."""
    if "{" not in text:
        return None
    try:
        _environment().parse(text)
    except jinja2.TemplateSyntaxError as error:
        return error.message or str(error)
    return None


def render(value: Any, variables: Mapping[str, Any]) -> Any:
    """A value with every template in it rendered; lists and mappings are entered, keys left alone.

    A text which is one expression alone gives the text of its value, as in a shell command.

    Raises:
        TemplateError: A variable is not defined, or an expression fails.
    """
    if isinstance(value, str):
        return render_text(value, variables)
    if isinstance(value, Mapping):
        return {key: render(element, variables) for key, element in value.items()}
    if isinstance(value, list):
        return [render(element, variables) for element in value]
    return value


def render_text(text: str, variables: Mapping[str, Any]) -> str:
    """One text rendered.

    Raises:
        TemplateError: As for `render`.
    """
    if "{" not in text:
        return text
    try:
        return _compiled(text).render(variables)
    except jinja2.UndefinedError as error:
        message = error.message or str(error)
        if message.startswith("variable "):
            message = f"{message}; there are: {_listed(variables)}"
        raise TemplateError(message) from error
    except (jinja2.TemplateError, ArithmeticError, TypeError, ValueError, LookupError) as error:
        raise TemplateError(f"{type(error).__name__}: {error}") from error


@lru_cache(maxsize=1024)
def _compiled(text: str) -> jinja2.Template:
    return _environment().from_string(text)


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(sorted(map(str, names))) or "none"
