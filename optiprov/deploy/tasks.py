"""The tasks of a workflow: Ansible's form, read and checked."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from optiprov.deploy.modules import MODULES, MODULES_NOT_YET
from optiprov.deploy.problems import suggestion
from optiprov.deploy.templating import syntax_problem
from optiprov.deploy.validation import shown, unknown_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from optiprov.deploy.modules import Module
    from optiprov.deploy.problems import Problems
    from optiprov.deploy.yaml_source import KeyPath, YamlSource

KEYWORDS = ("name", "args", "environment", "async", "poll")
KEYWORDS_NOT_YET = frozenset(
    {"action", "become", "become_user", "block", "changed_when", "delay", "delegate_to", "failed_when"}
    | {"ignore_errors", "local_action", "loop", "loop_control", "no_log", "notify", "register", "retries"}
    | {"run_once", "tags", "until", "vars", "when", "with_dict", "with_items"}
)
BUILTIN_PREFIX = "ansible.builtin."
ARGUMENT = re.compile(
    r"""([A-Za-z_]\w*)=((?:\{\{.*?\}\}|"[^"]*"|'[^']*'|[^\s"'{]|\{)*)(?:\s+|$)""", re.DOTALL
)


@dataclass(frozen=True)
class Task:
    """One task of a play.

    Attributes:
        name: What the scenario calls it, else the name of its module.
        module: What it does.
        arguments: The module's arguments, templates not yet rendered.
        environment: Environment variables for this task, templates not yet rendered.
        is_background: `poll: 0`: later tasks do not wait for it.
        limit_s: `async`: seconds after which it is ended; None for no limit.
        path: The file in which it stands.
        line: Its line there.
    """

    name: str
    module: Module
    path: Path
    line: int
    arguments: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    is_background: bool = False
    limit_s: float | None = None


class _Place(NamedTuple):
    """Where a task stands, and where its problems go."""

    source: YamlSource
    key_path: KeyPath
    problems: Problems

    def report(self, message: str, *keys: str) -> None:
        self.source.report(self.problems, (*self.key_path, *keys), message)


def read_task(source: YamlSource, key_path: KeyPath, raw: Any, problems: Problems) -> Task | None:
    """The task that stands at a key path, or None after noting what is wrong with it."""
    place = _Place(source, key_path, problems)
    if not isinstance(raw, dict):
        place.report(f"got {shown(raw)}, expected a task: a mapping with one module ({', '.join(MODULES)}).")
        return None
    found = len(problems.found)
    key = _module_key(raw, place)
    _check_templates(raw, place)
    if key is None:
        return None
    module = MODULES[key.removeprefix(BUILTIN_PREFIX)]
    arguments = _arguments(raw, key, module, place)
    for message in module.problems(arguments) if len(problems.found) == found else ():
        place.report(message, key)
    limit_s, poll = _whole_number(raw, "async", place), _whole_number(raw, "poll", place)
    environment = raw.get("environment") or {}
    if not isinstance(environment, dict):
        place.report(f"got {shown(environment)}, expected a mapping of variables.", "environment")
    if len(problems.found) > found:
        return None
    return Task(
        name=str(raw.get("name") or module.name),
        module=module,
        path=source.path,
        line=source.line(key_path),
        arguments=arguments,
        environment=environment,
        is_background=poll == 0,
        limit_s=limit_s or None,
    )


def _module_key(raw: dict[Any, Any], place: _Place) -> str | None:
    """The one key of a task that names its module."""
    others = [str(key) for key in raw if key not in KEYWORDS]
    modules = [key for key in others if key.removeprefix(BUILTIN_PREFIX) in MODULES]
    for key in others:
        if key in modules[:1]:
            continue
        if key in modules:
            place.report(f"a task has one module, got {modules[0]!r} too. Make it two tasks.", key)
        elif modules or key in KEYWORDS_NOT_YET:
            place.report(unknown_key(key, (*KEYWORDS, *modules[:1]), KEYWORDS_NOT_YET), key)
        else:
            place.report(_unknown_module(key), key)
    if not others:
        place.report(f"a task without a module. Modules there are: {', '.join(MODULES)}.")
    return modules[0] if modules else None


def _unknown_module(key: str) -> str:
    listed = f"Modules there are: {', '.join(MODULES)}."
    name = key.removeprefix(BUILTIN_PREFIX)
    if name in MODULES_NOT_YET or "." in name:
        return f"module {key!r} is not supported yet. {listed}"
    return f"unknown module {key!r}. {suggestion(name, [*MODULES, *KEYWORDS])}{listed}"


def _check_templates(raw: dict[Any, Any], place: _Place) -> None:
    for keys, text in _texts(raw, ()):
        if problem := syntax_problem(text):
            place.report(f"not a Jinja2 template: {problem}. Got {shown(text)}.", *keys)


def _texts(value: Any, keys: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(value, str):
        yield keys, value
    elif isinstance(value, dict):
        for key, element in value.items():
            yield from _texts(element, (*keys, str(key)))
    elif isinstance(value, list):
        for element in value:
            yield from _texts(element, keys)


def _arguments(raw: dict[Any, Any], key: str, module: Module, place: _Place) -> dict[str, Any]:
    given, extra = raw[key], raw.get("args") or {}
    if not isinstance(extra, dict):
        place.report(f"got {shown(extra)}, expected a mapping of arguments.", "args")
        extra = {}
    if isinstance(given, str):
        given = {module.free_form: given} if module.free_form else _key_values(given, key, place)
    elif not isinstance(given, dict):
        place.report(f"got {shown(given)}, expected a text or a mapping of arguments.", key)
        given = {}
    arguments = {**extra, **given}
    for name in arguments:
        if name not in module.arguments:
            where = (key, name) if name in given else ("args", name)
            place.report(unknown_key(str(name), module.arguments, module.arguments_not_yet), *where)
    for name in module.required:
        if arguments.get(name) is None:
            place.report(f"{module.name} needs the argument {name!r}. Add it.", key)
    return arguments


def _key_values(text: str, key: str, place: _Place) -> dict[str, Any]:
    """The arguments of the form `src=a dest=b`; quotes and braces hold a value together."""
    arguments, position = {}, 0
    text = text.strip()
    while position < len(text):
        match = ARGUMENT.match(text, position)
        if match is None:
            place.report(f"got {shown(text)}, expected arguments such as 'src=a dest=b'.", key)
            return {}
        arguments[match[1]] = match[2].strip("\"'")
        position = match.end()
    return arguments


def _whole_number(raw: dict[Any, Any], keyword: str, place: _Place) -> int | None:
    value = raw.get(keyword)
    if isinstance(value, str) and value.isdigit():
        value = int(value)
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    place.report(f"got {shown(value)}, expected a whole number of seconds >= 0.", keyword)
    return None
