"""Ansible's tests beside Jinja2's own: of registered results, texts, collections and versions."""

from __future__ import annotations

import operator
import os.path
import re
from typing import TYPE_CHECKING, Any

from optiprov.deploy.template_values import TemplateError, is_true

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def _result(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise TemplateError(f"the test {what!r} is for what a task registered, got {value!r}")
    return value


def _is_failed(result: Any) -> bool:
    return bool(_result(result, "failed").get("failed", False))


def _is_changed(result: Any) -> bool:
    found = _result(result, "changed")
    if "changed" not in found and "results" in found:
        return any(one.get("changed", False) for one in found["results"])
    return bool(found.get("changed", False))


def _is_skipped(result: Any) -> bool:
    return bool(_result(result, "skipped").get("skipped", False))


def _is_started(result: Any) -> bool:
    return bool(_result(result, "started").get("started", True))


def _is_finished(result: Any) -> bool:
    return bool(_result(result, "finished").get("finished", True))


def _regex(
    value: Any,
    pattern: str = "",
    ignorecase: bool = False,
    multiline: bool = False,
    match_type: str = "search",
) -> bool:
    flags = (re.IGNORECASE if ignorecase else 0) | (re.MULTILINE if multiline else 0)
    return bool(getattr(re.compile(pattern, flags), match_type)(str(value)))


def _match(value: Any, pattern: str = "", ignorecase: bool = False, multiline: bool = False) -> bool:
    return _regex(value, pattern, ignorecase, multiline, "match")


def _truthy(value: Any, convert_bool: bool = False) -> bool:
    if convert_bool:
        try:
            return is_true(value)
        except ValueError:
            return bool(value)
    return bool(value)


def _falsy(value: Any, convert_bool: bool = False) -> bool:
    return not _truthy(value, convert_bool)


def _subset(one: Any, other: Any) -> bool:
    return all(value in other for value in one)


def _superset(one: Any, other: Any) -> bool:
    return _subset(other, one)


_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    **dict.fromkeys(("==", "=", "eq"), operator.eq),
    **dict.fromkeys(("!=", "<>", "ne"), operator.ne),
    **dict.fromkeys((">", "gt"), operator.gt),
    **dict.fromkeys((">=", "ge"), operator.ge),
    **dict.fromkeys(("<", "lt"), operator.lt),
    **dict.fromkeys(("<=", "le"), operator.le),
}


def _version(value: Any, version: Any, operation: str = "eq", **_: Any) -> bool:
    if operation not in _COMPARISONS:
        raise TemplateError(
            f"version: got the operator {operation!r}, expected one of {sorted(_COMPARISONS)}"
        )
    return _COMPARISONS[operation](_version_key(value), _version_key(version))


def _version_key(version: Any) -> list[tuple[int, int, str]]:
    """Numbers by value, letters by the alphabet; what is longer is later, so `1.0rc1` is after `1.0`."""
    parts = re.findall(r"\d+|[a-z]+", str(version))
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]


TESTS: Mapping[str, Callable[..., bool]] = {
    **dict.fromkeys(("failed", "failure"), _is_failed),
    **dict.fromkeys(("succeeded", "success", "successful"), lambda result: not _is_failed(result)),
    **dict.fromkeys(("changed", "change"), _is_changed),
    **dict.fromkeys(("skipped", "skip"), _is_skipped),
    **dict.fromkeys(("version", "version_compare"), _version),
    "all": all,
    "any": any,
    "contains": lambda values, value: value in values,
    "directory": os.path.isdir,
    "exists": os.path.exists,
    "falsy": _falsy,
    "file": os.path.isfile,
    "finished": _is_finished,
    "is_abs": os.path.isabs,
    "is_dir": os.path.isdir,
    "is_file": os.path.isfile,
    "link": os.path.islink,
    "link_exists": os.path.lexists,
    "match": _match,
    "reachable": lambda result: not _result(result, "reachable").get("unreachable", False),
    "regex": _regex,
    "search": lambda value, pattern="", ignorecase=False, multiline=False: _regex(
        value, pattern, ignorecase, multiline
    ),
    "started": _is_started,
    "subset": _subset,
    "superset": _superset,
    "truthy": _truthy,
    "unreachable": lambda result: bool(_result(result, "unreachable").get("unreachable", False)),
}
"""Tests by name. Jinja2 has `defined`, `none`, `in`, `string`, `number`, `mapping` and others itself."""
