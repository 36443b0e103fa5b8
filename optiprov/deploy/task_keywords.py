"""Reads the keywords of a task: what it is repeated for, when it runs, what becomes of its result."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from optiprov.deploy.tasks import Loop, Retry
from optiprov.deploy.template_values import is_true
from optiprov.deploy.validation import shown, unknown_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optiprov.deploy.tasks import Conditions

Report: TypeAlias = Callable[..., None]

LOOP_KINDS = {
    "loop": "loop",
    "with_items": "items",
    "with_list": "loop",
    "with_dict": "dict",
    "with_fileglob": "fileglob",
    "with_indexed_items": "indexed_items",
    "with_together": "together",
    "with_sequence": "sequence",
}
IGNORED = frozenset({"become", "become_exe", "become_flags", "become_method", "become_user", "tags"})
"""Keywords that are read and change nothing: a local host has one user, and no command chooses tags."""

KEYWORDS = frozenset(
    {"args", "async", "changed_when", "delay", "environment", "failed_when", "ignore_errors"}
    | {"loop_control", "name", "no_log", "poll", "register", "retries", "run_once", "until", "vars", "when"}
    | set(LOOP_KINDS)
    | IGNORED
)
LOOP_CONTROL = ("loop_var", "index_var", "label", "pause", "extended")
_VARIABLE = re.compile(r"[A-Za-z_]\w*")


def read_keywords(raw: Mapping[str, Any], report: Report) -> dict[str, Any]:
    """The fields of a `Task` that keywords give; `report` gets what is wrong with them."""
    poll, retries = _number(raw, "poll", report), _number(raw, "retries", report)
    return {
        "environment": _environment(raw, report),
        "is_background": poll in (0, "0"),
        "limit_s": _number(raw, "async", report) or None,
        "when": _conditions(raw, "when") or (),
        "loop": _loop(raw, report),
        "register": _variable(raw.get("register"), report, "register"),
        "ignore_errors": _flag(raw, "ignore_errors", report),
        "failed_when": _conditions(raw, "failed_when"),
        "changed_when": _conditions(raw, "changed_when"),
        "retry": _retry(raw, retries, report),
        "variables": _mapping(raw, "vars", report),
        "run_once": _flag(raw, "run_once", report) is True,
        "is_secret": bool(_flag(raw, "no_log", report)),
    }


def _environment(raw: Mapping[str, Any], report: Report) -> tuple[Any, ...]:
    value = raw.get("environment") or ()
    values = value if isinstance(value, list | tuple) else [value]
    for one in values:
        if not (isinstance(one, dict) or _is_template(one)):
            report(f"got {shown(one)}, expected a mapping of variables.", "environment")
    return tuple(values)


def _mapping(raw: Mapping[str, Any], keyword: str, report: Report) -> Mapping[str, Any]:
    value = raw.get(keyword) or {}
    if isinstance(value, dict):
        return value
    report(f"got {shown(value)}, expected a mapping of variables.", keyword)
    return {}


def _conditions(raw: Mapping[str, Any], keyword: str) -> Conditions | None:
    value = raw.get(keyword)
    if value is None:
        return None
    return tuple(value) if isinstance(value, list) else (value,)


def _variable(value: Any, report: Report, *keys: str) -> str | None:
    if value is None or (isinstance(value, str) and _VARIABLE.fullmatch(value)):
        return value
    report(f"got {shown(value)}, expected a variable name: letters, digits and '_'.", *keys)
    return None


def _flag(raw: Mapping[str, Any], keyword: str, report: Report) -> Any:
    value = raw.get(keyword, False)
    if _is_template(value):
        return value
    try:
        return is_true(value)
    except ValueError:
        report(f"got {shown(value)}, expected true or false.", keyword)
        return False


def _retry(raw: Mapping[str, Any], retries: Any, report: Report) -> Retry | None:
    until = _conditions(raw, "until")
    delay = _number(raw, "delay", report)
    if until is None and retries is None:
        return None
    return Retry(until or (), 3 if retries is None else retries, 5 if delay is None else delay)


def _loop(raw: Mapping[str, Any], report: Report) -> Loop | None:
    kinds = [keyword for keyword in LOOP_KINDS if keyword in raw]
    control = raw.get("loop_control") or {}
    if not isinstance(control, dict):
        report(f"got {shown(control)}, expected a mapping ({', '.join(LOOP_CONTROL)}).", "loop_control")
        control = {}
    for key in control:
        if key not in LOOP_CONTROL:
            report(unknown_key(str(key), LOOP_CONTROL), "loop_control", str(key))
    if not kinds:
        return None
    if len(kinds) > 1:
        report(f"a task has one loop, got {kinds[0]!r} too. Keep one of the two.", kinds[1])
    items, kind = raw[kinds[0]], LOOP_KINDS[kinds[0]]
    if kind == "loop" and not (isinstance(items, list) or _is_template(items)):
        report(f"got {shown(items)}, expected a list, or a template that gives one.", kinds[0])
    pause = control.get("pause", 0)
    if isinstance(pause, bool) or not isinstance(pause, int | float):
        report(f"got {shown(pause)}, expected a number of seconds.", "loop_control", "pause")
        pause = 0
    return Loop(
        items=items,
        kind=kind,
        variable=_variable(control.get("loop_var"), report, "loop_control", "loop_var") or "item",
        index_variable=_variable(control.get("index_var"), report, "loop_control", "index_var"),
        label=control.get("label"),
        pause_s=pause,
    )


def _is_template(value: Any) -> bool:
    return isinstance(value, str) and "{{" in value


def _number(raw: Mapping[str, Any], keyword: str, report: Report) -> int | str | None:
    """A whole number of seconds or times, or a template for one."""
    value = raw.get(keyword)
    if isinstance(value, str) and value.isdigit():
        value = int(value)
    if value is None or _is_template(value):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    what = "number >= 0" if keyword == "retries" else "number of seconds >= 0"
    report(f"got {shown(value)}, expected a whole {what}.", keyword)
    return None
