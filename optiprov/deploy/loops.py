"""What a task is repeated for."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from optiprov.deploy.template_lookups import query
from optiprov.deploy.template_values import TemplateError
from optiprov.deploy.templating import render

if TYPE_CHECKING:
    from collections.abc import Callable

    from optiprov.deploy.tasks import Loop


def items_of(loop: Loop, variables: Mapping[str, Any]) -> list[Any]:
    """The items of a loop, in order.

    Raises:
        TemplateError: A variable is not defined, or the loop has no list.
    """
    return _KINDS[loop.kind](render(loop.items, variables))


def _listed(value: Any) -> list[Any]:
    if isinstance(value, list | tuple):
        return list(value)
    raise TemplateError(f"loop: got {value!r}, expected a list. A filter such as `dict2items` may help")


def _items(value: Any) -> list[Any]:
    """As `with_items`: one level of lists is flattened, and one value is a list of one."""
    flat: list[Any] = []
    for element in value if isinstance(value, list | tuple) else [value]:
        flat.extend(element if isinstance(element, list | tuple) else [element])
    return flat


def _dict(value: Any) -> list[Any]:
    if not isinstance(value, Mapping):
        raise TemplateError(f"with_dict: got {value!r}, expected a mapping")
    return [{"key": key, "value": element} for key, element in value.items()]


def _fileglob(value: Any) -> list[Any]:
    return query("fileglob", *_items(value))


def _indexed_items(value: Any) -> list[Any]:
    return [list(pair) for pair in enumerate(_items(value))]


def _together(value: Any) -> list[Any]:
    return [list(row) for row in zip_longest(*_listed(value))]


def _sequence(value: Any) -> list[Any]:
    """`start=1 end=5 stride=2 format=host%02d`, or `count=3`, or as a mapping of these."""
    if isinstance(value, str):
        value = dict(pair.partition("=")[::2] for pair in value.split())
    start, stride = int(value.get("start", 1)), int(value.get("stride", 1))
    end = int(value["end"]) if "end" in value else start + stride * (int(value["count"]) - 1)
    step = 1 if stride > 0 else -1
    return [str(value.get("format", "%d")) % number for number in range(start, end + step, stride)]


_KINDS: Mapping[str, Callable[[Any], list[Any]]] = {
    "loop": _listed,
    "items": _items,
    "dict": _dict,
    "fileglob": _fileglob,
    "indexed_items": _indexed_items,
    "together": _together,
    "sequence": _sequence,
}
