"""Templates in scenarios: rendered, evaluated and checked.

A text that is one expression alone gives the value of that expression, so that lists and numbers stay
what they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from optiprov.deploy import plain_templates
from optiprov.deploy.plain_templates import NOT_PLAIN
from optiprov.deploy.template_values import OMIT, TemplateError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["OMIT", "TemplateError", "evaluate", "render", "render_file", "syntax_problem", "unknown_names"]


def syntax_problem(text: str, *, is_expression: bool = False) -> str | None:
    """What is wrong with the syntax of a template; None if nothing is.

    Args:
        text: The template.
        is_expression: Whether it is an expression without braces, such as a condition.
    """
    template = _braced(text) if is_expression else text
    if plain_templates.parts(template) is not None:
        return None
    from optiprov.deploy import jinja_templates

    return jinja_templates.syntax_problem(template, has_escapes=is_expression)


def unknown_names(text: str, *, is_expression: bool = False) -> list[tuple[str, str]]:
    """What a template of correct syntax uses and this package lacks: pairs of kind and name.

    The kinds are `filter`, `test` and `lookup`.
    """
    template = _braced(text) if is_expression else text
    if plain_templates.parts(template) is not None:
        return []
    from optiprov.deploy import jinja_templates

    return jinja_templates.unknown_names(template, has_escapes=is_expression)


def render(value: Any, variables: Mapping[str, Any]) -> Any:
    """A value with every template in it rendered; lists and mappings are entered, keys too.

    What renders to `omit` is left out of the list or mapping that it stands in.

    Raises:
        TemplateError: A variable is not defined, or an expression fails.
    """
    if isinstance(value, str):
        return _rendered(value, variables) if "{" in value else value
    if isinstance(value, Mapping):
        pairs = ((render(key, variables), render(element, variables)) for key, element in value.items())
        return {key: element for key, element in pairs if element is not OMIT}
    if isinstance(value, list | tuple):
        elements = [render(element, variables) for element in value]
        return [element for element in elements if element is not OMIT]
    return value


def render_file(
    text: str,
    variables: Mapping[str, Any],
    *,
    sources: Sequence[Path] = (),
    trim_blocks: bool = True,
    lstrip_blocks: bool = False,
) -> str:
    """The content of a file rendered, as the module `template` does; it may include files of `sources`.

    Raises:
        TemplateError: As for `render`.
    """
    content = plain_templates.rendered_content(text, variables)
    if content is not NOT_PLAIN:
        return str(content)
    from optiprov.deploy import jinja_templates

    return jinja_templates.render_content(
        text, variables, sources, trim_blocks=trim_blocks, lstrip_blocks=lstrip_blocks
    )


def evaluate(condition: Any, variables: Mapping[str, Any]) -> bool:
    """Whether a condition holds: a boolean, or an expression, with braces around it or without.

    Raises:
        TemplateError: As for `render`.
    """
    if not isinstance(condition, str):
        return bool(condition)
    template = _braced(condition)
    is_bare = template != condition
    value = _rendered(template, variables, has_escapes=is_bare)
    if isinstance(value, str) and not is_bare and not _is_value(condition):
        # `{{ result.rc }} == 0`: the text is the expression
        value = _rendered(_braced(value), variables, has_escapes=True)
    if isinstance(value, str) and value.strip().lower() in {"false", "no", "off", "0", ""}:
        return False  # what a registered text or a metadata key says
    return bool(value)


def _braced(condition: str) -> str:
    return condition if "{{" in condition or "{%" in condition else f"{{{{ {condition} }}}}"


def _is_value(template: str) -> bool:
    """Whether a template is one expression alone."""
    from optiprov.deploy import jinja_templates

    return jinja_templates.is_expression(template)


def _rendered(text: str, variables: Mapping[str, Any], *, has_escapes: bool = False) -> Any:
    value = plain_templates.rendered(text, variables)
    if value is not NOT_PLAIN:
        return value
    from optiprov.deploy import jinja_templates

    return jinja_templates.render_text(text, variables, has_escapes=has_escapes)
