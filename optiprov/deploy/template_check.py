"""The variables that templates of a scenario use, against those that there are.

Told is only what is certain: a variable that some task may make, or that a template asks for before it
uses it, is none of the problems here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from optiprov.deploy.artifacts import template_file
from optiprov.deploy.grouping import aggregated_names
from optiprov.deploy.problems import suggestion
from optiprov.deploy.selection import select
from optiprov.deploy.task_texts import tasks_of, tasks_of_play
from optiprov.deploy.template_names import uses
from optiprov.deploy.validation import elements, mapping
from optiprov.deploy.variable_names import RESERVED, SELF_KEYS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from optiprov.deploy.patterns import KnownHosts
    from optiprov.deploy.problems import Problems
    from optiprov.deploy.surroundings import Surroundings
    from optiprov.deploy.task_texts import RawTask
    from optiprov.deploy.template_names import Use
    from optiprov.deploy.yaml_source import KeyPath, YamlSource

_ANSIBLE = frozenset(
    {"environment", "item", "group_names", "groups", "hostvars", "inventory_dir", "inventory_file", "omit"}
    | {"inventory_hostname", "inventory_hostname_short", "play_hosts", "playbook_dir", "role_name"}
    | {"role_path", "vars"}
)
_EXPRESSIONS = frozenset({"when", "failed_when", "changed_when", "until", "that"})
_BRING_VARIABLES = frozenset({"roles", "vars_files", "vars_prompt", "pre_tasks", "post_tasks", "handlers"})
_INCLUDE = re.compile(
    r"(ansible\.\w+\.)?(include|import)_\w+|(ansible\.\w+\.)?(add_host|group_by|gather_facts|setup)"
)
_SET_FACT = re.compile(r"(ansible\.\w+\.)?set_fact")
_LISTED = 16


@dataclass
class _Scope:
    """The variables that templates of a play may use.

    Attributes:
        names: The variables.
        keys: For variables with known keys, the keys.
        patterns: Families of variables, such as those of `aggregate`.
    """

    names: set[str]
    keys: dict[str, set[str]] = field(default_factory=dict)
    patterns: list[re.Pattern[str]] = field(default_factory=list)

    def has(self, name: str) -> bool:
        """Whether there is such a variable."""
        if name in self.names or name in _ANSIBLE or name.startswith("ansible_"):
            return True
        return any(pattern.fullmatch(name) for pattern in self.patterns)

    def problem(self, use: Use) -> str | None:
        """What is wrong with a use, None if nothing is known to be."""
        if use.attribute is None:
            return None if self.has(use.name) else self._message(use.name, self.names, "a variable")
        keys = self.keys.get(use.name)
        if keys is None or use.attribute in keys or hasattr(dict, use.attribute):
            return None
        return self._message(f"{use.name}.{use.attribute}", {f"{use.name}.{key}" for key in keys}, "a key")

    @staticmethod
    def _message(word: str, there: set[str], what: str) -> str:
        names = sorted(there, key=lambda name: (name.rpartition(".")[2].startswith("_"), name))
        listed = ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")
        hint = suggestion(word, names)
        return f"a template uses {word!r}, {what} that is not there. {hint}There are: {listed}."


def check_plays(source: YamlSource, around: Surroundings, problems: Problems) -> None:
    """Report variables that templates in tasks use and nobody gives."""
    made = _made(source.value)
    for index, play in enumerate(source.value if isinstance(source.value, list) else ()):
        if not isinstance(play, dict) or _BRING_VARIABLES & {str(key) for key in play}:
            continue
        tasks = list(tasks_of_play(play, (index,)))
        if any(_INCLUDE.fullmatch(word) for task in tasks for word in task.keywords):
            continue
        scope = _scope(play, around)
        scope.names |= made | set(map(str, mapping(play, "vars")))
        preparing = replace(scope, names=scope.names - _chosen_later(around))
        optional = _optional(task.raw for task in tasks)
        for task in tasks:
            its = preparing if task.key_path[1] == "prepare" else scope
            _check_task(source, task, its, optional, around, problems)


def _chosen_later(around: Surroundings) -> set[str]:
    """What the stage prepare has not: it is done once for all of the sets that are chosen."""
    return around.env_names | {"app_conf"} if around.is_chosen else set()


def check_environments(source: YamlSource, around: Surroundings, problems: Problems) -> None:
    """Report variables that the `env` of services uses and nobody gives."""
    names = _general(around)
    for layer_index, layer in elements(source.value, "layers"):
        for index, service in elements(layer, "services"):
            keys = set(SELF_KEYS) | set(map(str, service))
            scope = _Scope(names, {"_self": keys})
            at = ("layers", layer_index, "services", index, "env")
            for key, value in mapping(service, "env").items():
                if isinstance(value, str):
                    _check_text(source, (*at, str(key)), value, scope, frozenset(), problems)


def _optional(values: Iterable[Any]) -> frozenset[str]:
    """What some text asks for first: a block's condition is one of its tasks' too."""
    texts = [(text, bare) for value in values for _, text, bare in _texts(value, ())]
    return frozenset[str]().union(*(uses(text, is_expression=bare).optional for text, bare in texts))


def _check_task(
    source: YamlSource,
    task: RawTask,
    scope: _Scope,
    optional: frozenset[str],
    around: Surroundings,
    problems: Problems,
) -> None:
    for keys, text, bare in _texts(task.raw, ()):
        if keys[0] not in {"block", "rescue", "always"}:  # their tasks come by themselves
            _check_text(source, (*task.key_path, *keys), text, scope, optional, problems, bare=bare)
    path = template_file(task, around)
    if path is not None:
        _check_file(path, scope, optional, problems)


def _check_text(
    source: YamlSource,
    at: KeyPath,
    text: str,
    scope: _Scope,
    optional: frozenset[str],
    problems: Problems,
    *,
    bare: bool = False,
) -> None:
    for use in uses(text, is_expression=bare).needed:
        if (message := scope.problem(use)) and not _is_optional(use, optional):
            source.report(problems, at, message)


def _check_file(path: Path, scope: _Scope, optional: frozenset[str], problems: Problems) -> None:
    try:
        found = uses(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return  # the task tells
    for use in found.needed:
        if (message := scope.problem(use)) and not _is_optional(use, optional | found.optional):
            problems.add(path, use.line, "", message)


def _is_optional(use: Use, optional: frozenset[str]) -> bool:
    return use.name in optional or f"{use.name}.{use.attribute}" in optional


def _general(around: Surroundings) -> set[str]:
    names = set(RESERVED) | around.env_names
    return names if around.app_confs else names - {"app_conf"}


def _scope(play: dict[Any, Any], around: Surroundings) -> _Scope:
    scope = _Scope(_general(around))
    keys = _keys(play.get("hosts"), around.known)
    if keys and not around.known.may_register(play.get("hosts")):
        scope.keys["_self"] = keys
    one = mapping(play, "depends_on")  # which is reported: a list is needed
    for _, dependency in [(0, one)] if one else elements(play, "depends_on"):
        prefix, grouping = dependency.get("prefix"), dependency.get("grouping", "round_robin")
        if not isinstance(prefix, str):
            continue
        scope.names.add(prefix)
        keys = _keys(dependency.get("service_selector"), around.known)
        if grouping == "aggregate":
            _add_aggregated(scope, prefix, dependency.get("service_selector"), around.known, keys)
        elif around.known.may_register(dependency.get("service_selector")):
            scope.keys.pop(prefix, None)
        elif keys and grouping in ("round_robin", "address_match"):
            scope.keys[prefix] = scope.keys.get(prefix, set()) | keys
    return scope


def _add_aggregated(scope: _Scope, prefix: str, selector: Any, known: KnownHosts, keys: set[str]) -> None:
    if known.is_guess or not keys or known.may_register(selector):
        scope.patterns.append(re.compile(re.escape(prefix) + r"\d+(_\d+)+"))
        return
    for name in aggregated_names(prefix, [host.numeric_id for host in select(selector, known.hosts)]):
        scope.names.add(name)
        scope.keys[name] = keys


def _keys(pattern: Any, known: KnownHosts) -> set[str]:
    """The keys that some host of a pattern has in its `_self`; none where it selects none, which is told."""
    hosts = select(pattern, known.hosts) if isinstance(pattern, str) else []
    return set(SELF_KEYS) | {key for host in hosts for key in host.metadata} if hosts else set()


def _made(plays: Any) -> set[str]:
    """The variables that tasks make: registered, set, or of loops and vars."""
    names = set[str]()
    for task in tasks_of(plays):
        names |= {str(task.raw[word]) for word in ("register",) if task.raw.get(word)}
        names |= set(map(str, mapping(task.raw, "vars")))
        control = mapping(task.raw, "loop_control")
        names |= {str(control[word]) for word in ("loop_var", "index_var") if word in control}
        for word in task.keywords:
            if _SET_FACT.fullmatch(word):
                facts = task.raw.get(word)
                text = facts if isinstance(facts, str) else ""
                names |= set(map(str, facts)) if isinstance(facts, dict) else set(re.findall(r"(\w+)=", text))
    return names


def _texts(value: Any, keys: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str, bool]]:
    """The texts below a value: their keys, the text, and whether it is an expression without braces."""
    if isinstance(value, str):
        yield keys, value, bool(keys) and keys[-1] in _EXPRESSIONS
    elif isinstance(value, dict):
        for key, element in value.items():
            yield from _texts(element, (*keys, str(key)))
    elif isinstance(value, list):
        for element in value:
            yield from _texts(element, keys)
