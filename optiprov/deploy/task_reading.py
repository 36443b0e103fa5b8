"""Reads the tasks of a workflow, and reports what is wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from optiprov.deploy import ansible_names
from optiprov.deploy.free_form import key_values, split_command
from optiprov.deploy.modules import MODULES
from optiprov.deploy.problems import suggestion
from optiprov.deploy.task_keywords import KEYWORDS, LOOP_KINDS, read_keywords
from optiprov.deploy.tasks import Task
from optiprov.deploy.templating import syntax_problem, unknown_names
from optiprov.deploy.validation import shown, unknown_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from optiprov.deploy.modules import Module
    from optiprov.deploy.problems import Problems
    from optiprov.deploy.yaml_source import KeyPath, YamlSource

PREFIXES = ("ansible.builtin.", "ansible.legacy.")
EXPRESSIONS = frozenset({"when", "failed_when", "changed_when", "until"})
"""Keywords whose texts are expressions, without braces."""

_FOREIGN = {
    "filter": ansible_names.FILTERS,
    "test": ansible_names.TESTS,
    "lookup": ansible_names.LOOKUPS,
}


class Place(NamedTuple):
    """Where a task stands, and where its problems go."""

    source: YamlSource
    key_path: KeyPath
    problems: Problems

    def report(self, message: str, *keys: str) -> None:
        """Note a problem of the task, or of one of its keys."""
        self.source.report(self.problems, (*self.key_path, *keys), message)


def read_task(source: YamlSource, key_path: KeyPath, raw: Any, problems: Problems) -> Task | None:
    """The task that stands at a key path, or None after noting what is wrong with it."""
    place = Place(source, key_path, problems)
    if not isinstance(raw, dict):
        place.report(f"got {shown(raw)}, expected a task: a mapping with one module ({', '.join(MODULES)}).")
        return None
    found = len(problems.found)
    key, reason = _module_of(raw, place)
    reason = _check_templates(raw, place, reason)
    if len(problems.found) > found:
        return None
    module = MODULES.get(_short(key)) if key else None
    if reason is None and module is not None and key is not None:
        arguments, reason = _arguments(raw, key, module, place)
        if reason is None:
            return _native(raw, module, arguments, place, found)
    if len(problems.found) > found:
        return None
    return Task(
        name=str(raw.get("name") or (_short(key) if key else "block")),
        module=None,
        path=source.path,
        line=source.line(key_path),
        is_background=raw.get("poll") in (0, "0"),
        raw=raw,
        key_path=key_path,
        lines=source.lines,
        needs_ansible=reason,
    )


def _native(
    raw: Mapping[str, Any], module: Module, arguments: Mapping[str, Any], place: Place, found: int
) -> Task | None:
    """A task that optiprov runs itself."""
    keywords = read_keywords(raw, place.report)
    if len(place.problems.found) > found:
        return None
    return Task(
        name=str(raw.get("name") or module.name),
        module=module,
        path=place.source.path,
        line=place.source.line(place.key_path),
        arguments=arguments,
        raw=raw,
        key_path=place.key_path,
        lines=place.source.lines,
        **keywords,
    )


def _short(key: str) -> str:
    for prefix in PREFIXES:
        key = key.removeprefix(prefix)
    return key


def _module_of(raw: Mapping[Any, Any], place: Place) -> tuple[str | None, str | None]:
    """The one key of a task that names its module, and why only Ansible can run the task."""
    of_ansible = [key for key in raw if str(key) in ansible_names.TASK_KEYWORDS or _is_foreign_loop(key)]
    others = [str(key) for key in raw if key not in KEYWORDS and key not in of_ansible]
    modules = [key for key in others if _short(key) in MODULES or _is_foreign(key)]
    for key in others:
        if key in modules[:1]:
            continue
        if key in modules:
            place.report(f"a task has one module, got {modules[0]!r} too. Make it two tasks.", key)
        elif modules or of_ansible:
            place.report(unknown_key(key, (*sorted(KEYWORDS), *modules[:1])), key)
        else:
            place.report(_unknown_module(key), key)
    if not others and not {"block", "action", "local_action"} & set(of_ansible):
        place.report(f"a task without a module. Modules there are: {', '.join(MODULES)}.")
    module = modules[0] if modules else None
    if of_ansible:
        return module, str(of_ansible[0])
    if module is not None and _short(module) not in MODULES:
        return module, _short(module)
    return module, None


def _is_foreign(key: str) -> bool:
    return _short(key) in ansible_names.MODULES or ("." in _short(key) and " " not in key)


def _is_foreign_loop(key: Any) -> bool:
    return str(key).startswith("with_") and key not in LOOP_KINDS


def _unknown_module(key: str) -> str:
    names = [*MODULES, *sorted(ansible_names.MODULES), *KEYWORDS]
    return (
        f"unknown module {key!r}. {suggestion(_short(key), names)}Modules there are: {', '.join(MODULES)}, "
        "and with the extra 'ansible' those of Ansible."
    )


def _check_templates(raw: Mapping[Any, Any], place: Place, reason: str | None) -> str | None:
    """Report templates that are none; return why only Ansible can run the task, if that is so."""
    for keys, text in _texts(raw, ()):
        is_expression = keys[0] in EXPRESSIONS
        if "{" not in text and not is_expression:
            continue
        if problem := syntax_problem(text, is_expression=is_expression):
            place.report(f"not a Jinja2 template: {problem}. Got {shown(text)}.", *keys)
        elif reason is None:
            reason = _foreign_name(text, place, keys, is_expression=is_expression)
    return reason


def _foreign_name(text: str, place: Place, keys: tuple[str, ...], *, is_expression: bool) -> str | None:
    for kind, name in unknown_names(text, is_expression=is_expression):
        if "." in name or name in _FOREIGN[kind]:
            return f"{kind} {name}"
        place.report(f"unknown {kind} {name!r}. Got {shown(text)}.", *keys)
    return None


def _texts(value: Any, keys: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(value, str):
        yield keys, value
    elif isinstance(value, dict):
        for key, element in value.items():
            yield from _texts(element, (*keys, str(key)))
    elif isinstance(value, list):
        for element in value:
            yield from _texts(element, keys)


def _arguments(
    raw: Mapping[Any, Any], key: str, module: Module, place: Place
) -> tuple[dict[str, Any], str | None]:
    """The arguments of a module, and why only Ansible can run it with them."""
    given, extra = _given(raw[key], key, module, place), raw.get("args") or {}
    if not isinstance(extra, dict):
        place.report(f"got {shown(extra)}, expected a mapping of arguments.", "args")
        extra = {}
    arguments = {str(name): value for name, value in {**extra, **given}.items()}
    reason = None
    found = len(place.problems.found)
    for name in arguments:
        if name in module.arguments_of_ansible:
            reason = f"{module.name} with {name}"
        elif name not in module.arguments:
            where = (key, name) if name in given else ("args", name)
            place.report(unknown_key(name, module.arguments), *where)
    for name in module.required:
        if arguments.get(name) is None:
            place.report(f"{module.name} needs the argument {name!r}. Add it.", key)
    for message in module.problems(arguments) if len(place.problems.found) == found else ():
        place.report(message, key)
    return arguments, reason


def _given(value: Any, key: str, module: Module, place: Place) -> dict[Any, Any]:
    if isinstance(value, dict):
        return value
    if value is None:
        return {}
    if not isinstance(value, str):
        place.report(f"got {shown(value)}, expected a text or a mapping of arguments.", key)
        return {}
    if module.free_form is not None:
        command, arguments = split_command(value.strip(), module.free_form_words)
        return {module.free_form: command, **arguments} if command else dict(arguments)
    pairs = key_values(value)
    if pairs is None:
        place.report(f"got {shown(value)}, expected arguments such as 'src=a dest=b'.", key)
        return {}
    return dict(pairs)
