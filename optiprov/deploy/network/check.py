"""What of network.yaml is checked beside its keys: templates, and rules that hide others."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from optiprov.deploy.kinds import shown
from optiprov.deploy.models.network import PROPERTIES, is_template
from optiprov.deploy.network.rules import pairs_of
from optiprov.deploy.template_names import uses
from optiprov.deploy.templating import TemplateError, render, syntax_problem, unknown_names
from optiprov.deploy.validation import elements
from optiprov.deploy.variable_names import RESERVED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optiprov.deploy.models import Network
    from optiprov.deploy.patterns import KnownHosts
    from optiprov.deploy.problems import Problems
    from optiprov.deploy.surroundings import Surroundings
    from optiprov.deploy.yaml_source import YamlSource

_OF_A_HOST = frozenset({"_self", "working_dir"})
_EXPRESSION = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_STAND_INS = ("1", "1m", "1mb", "1mbi", "ms", "mbit", "1ms", "1mbit", "1%", "%")
"""What an expression may stand for: a number, and more or less of a unit."""


def check_templates(source: YamlSource, around: Surroundings, problems: Problems) -> None:
    """Report templates of rules that are none, use what nobody gives, or cannot become what is needed."""
    for index, rule in elements(source.value, "networks"):
        for key in PROPERTIES:
            if is_template(rule.get(key)):
                message = _problem(key, rule[key], around)
                if message is not None:
                    source.report(problems, ("networks", index, key), message)


def _problem(key: str, template: str, around: Surroundings) -> str | None:
    """What is certainly wrong with a template, None if nothing is."""
    if found := syntax_problem(template):
        return f"not a Jinja2 template: {found}. Got {shown(template)}."
    for kind, name in unknown_names(template):
        return f"unknown {kind} {name!r}. Got {shown(template)}."
    needed, optional = uses(template)
    names = (RESERVED | around.env_names) - _OF_A_HOST
    for use in needed:
        if use.name not in names and use.name not in optional:
            listed = ", ".join(sorted(names))
            return f"a template uses {use.name!r}, a variable that rules do not have. There are: {listed}."
    if all(use.name in around.env_names for use in needed):
        return _problem_of_value(key, template, around.app_confs)
    return _problem_of_form(key, template)


def _problem_of_value(key: str, template: str, sets: Sequence[Mapping[str, Any]]) -> str | None:
    """What is wrong with a template of variables that are known: it is rendered with each set of them."""
    for values in sets or ({},):
        try:
            value = render(template, {f"env_{name}": value for name, value in values.items()})
        except TemplateError:
            continue  # another set has it
        if problem := PROPERTIES[key].problem(value):
            return f"{shown(template)} is rendered: {problem}"
    return None


def _problem_of_form(key: str, template: str) -> str | None:
    """What is wrong with the text around the one expression of a template, such as a unit of another kind."""
    around = _EXPRESSION.split(template)
    if len(around) != 2 or "{%" in template:
        return None
    before, behind = around
    if PROPERTIES[key].pattern is None or not (before.strip() or behind.strip()):
        return None
    candidates = (f"{before}{stand_in}{behind}" for stand_in in _STAND_INS)
    if any(PROPERTIES[key].problem(candidate) is None for candidate in candidates):
        return None
    return f"got {shown(template)}, expected to become {PROPERTIES[key].expected}."


def check_overlaps(
    source: YamlSource, rules: Sequence[Network], known: KnownHosts, problems: Problems
) -> None:
    """Tell of properties that a later rule gives to some of the same pairs of hosts: that one holds."""
    given: dict[str, dict[tuple[str, str], int]] = {name: {} for name in PROPERTIES}
    for index, rule in enumerate(rules):
        for name in (name for name in PROPERTIES if getattr(rule, name) is not None):
            hidden: dict[int, int] = {}
            for pair in set(pairs_of(rule, known.hosts)):
                earlier = given[name].get(pair)
                given[name][pair] = index
                if earlier is not None and getattr(rules[earlier], name) != getattr(rule, name):
                    hidden[earlier] = hidden.get(earlier, 0) + 1
            for earlier, count in hidden.items():
                pairs = "a pair" if count == 1 else f"{count} pairs"
                message = f"holds for {pairs} of hosts in place of that of line {rules[earlier].line}."
                source.report(problems, ("networks", index, name), message)
