"""How a value of an answer is written in the cell of a table, and in a line of CSV."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

from optiprov.store.plain_values import float_text, json_value

if TYPE_CHECKING:
    from collections.abc import Iterable

ABSENT = "-"
"""What stands for no value in a table."""

_EXACT_BELOW = 2**53
_LONGEST = 2000  # characters: a traceback fits, a value of megabytes does not
_NEEDS_QUOTES = re.compile(r'[",\r\n]|^$')


def cell_text(value: Any) -> str:
    """Return a value for people: numbers with six digits, lists as JSON, of long texts the start.

    >>> cell_text(None), cell_text(float("nan")), cell_text(2.0), cell_text([1, 2])
    ('-', 'NaN', '2', '[1, 2]')
    """
    if value is None:
        return ABSENT
    if isinstance(value, float) and math.isfinite(value):
        is_whole = value.is_integer() and abs(value) < _EXACT_BELOW  # integers of which some are halves
        return str(int(value)) if is_whole else f"{value:.6g}"
    text = _text(value)
    if len(text) <= _LONGEST:
        return text
    return f"{text[:_LONGEST]}... ({len(text)} characters; --format csv prints all)"


def csv_line(values: Iterable[Any]) -> str:
    """Return a line of CSV (RFC 4180); no value is nothing, a text without characters is `""`.

    So is no value alone in its line, which readers of CSV would take for no row.

    >>> csv_line([None, "", float("nan"), 0.1, "a,b", [1, 2]])
    ',"",NaN,0.1,"a,b","[1, 2]"'
    """
    return ",".join("" if value is None else _quoted(_text(value)) for value in values) or '""'


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return float_text(value)
    if isinstance(value, (list, tuple, dict)):
        return json.dumps(json_value(value), ensure_ascii=False)
    return str(json_value(value) if isinstance(value, bytes) else value)


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if _NEEDS_QUOTES.search(text) else text
