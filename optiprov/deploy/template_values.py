"""Values that templates know beside Python's own, and how they fail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TRUE_TEXTS = frozenset({"true", "yes", "on", "1", "t", "y", "1.0"})
FALSE_TEXTS = frozenset({"false", "no", "off", "0", "f", "n", "0.0", ""})


class TemplateError(ValueError):
    """A template that cannot be rendered; the message names the variable and those that there are."""


class _Omit:
    """The value of `omit`: an argument that has it is as if it were not given."""

    def __str__(self) -> str:
        return ""


OMIT = _Omit()


def is_true(value: Any) -> bool:
    """A boolean as Ansible's modules take it: `yes`, `on`, `1`, `true` in any case are true.

    >>> is_true("yes"), is_true("off"), is_true(1)
    (True, False, True)

    Raises:
        ValueError: It is neither true nor false.
    """
    text = str(value).strip().lower()
    if value is None or text in FALSE_TEXTS:
        return False
    if text in TRUE_TEXTS:
        return True
    raise ValueError(f"got {value!r}, expected true or false")


def plain(value: Any) -> Any:
    """A value made of what YAML and JSON have, to be written down; anything else as its text."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(element) for key, element in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(element) for element in value]
    return str(value)
