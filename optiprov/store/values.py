"""How values of attributes become values of typed columns."""

from __future__ import annotations

import datetime
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optiprov.store.backend import Kind

_INT64 = 2**63
_EXACT_DIGITS = 15  # a double has that many decimal ones
_WIDER: dict[tuple[Kind, Kind], Kind] = {
    ("boolean", "integer"): "integer",
    ("boolean", "double"): "double",
    ("double", "boolean"): "double",
    ("integer", "boolean"): "integer",
    ("integer", "double"): "double",
    ("double", "integer"): "double",
}


def unwrap(value: Any) -> Any:
    """Return the one value of a list with one, and what a tag of the wire format stands for.

    Attributes arrive as ProvLight's clients send them: `{"accuracy": [0.93]}`.
    """
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict) and value.keys() == {"$", "v"}:
        return _tagged(value["$"], value["v"])
    return value


def _tagged(kind: Any, text: Any) -> Any:
    if kind == "decimal" and isinstance(text, str):
        return _decimal(text)
    if kind == "time" and isinstance(text, str):
        try:
            time = datetime.datetime.fromisoformat(text)
        except ValueError:
            return text
        try:
            return time.astimezone(datetime.timezone.utc).replace(tzinfo=None) if time.tzinfo else time
        except OverflowError:  # at the ends of the calendar
            return text
    return text


def _decimal(text: str) -> Any:
    """Return a decimal number as a double where that has all its digits, otherwise as its text."""
    try:
        digits = len(text.strip("+-").partition("E")[0].replace(".", "").strip("0"))
        return float(text) if digits <= _EXACT_DIGITS else text
    except ValueError:
        return text


def kind_of(value: Any) -> Kind | None:
    """Return the kind of column a value asks for; None for None, which goes into any."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer" if -_INT64 < value < _INT64 else "text"
    if isinstance(value, float):
        return "double"
    if isinstance(value, str):
        return "text"
    if isinstance(value, datetime.datetime):
        return "timestamp"
    return "json"


def widen(present: Kind, wanted: Kind) -> Kind:
    """Return the kind of a column that holds both; the present one where there is none."""
    return _WIDER.get((present, wanted), present)


def convert(value: Any, kind: Kind) -> Any:
    """Convert an unwrapped value for a column.

    Raises:
        ValueError: the column cannot hold it.
    """
    if value is None:
        return None
    if kind == "json":
        return clean_text(json.dumps(value, default=str))
    own = kind_of(value)
    if kind == "text":
        return clean_text(json.dumps(value, default=str) if own == "json" else str(value))
    if own is None or (own != kind and _WIDER.get((kind, own)) != kind):
        raise ValueError(f"the attribute is {kind}, got {str(value)[:80]!r} ({own})")
    return {"double": float, "integer": int}.get(kind, lambda same: same)(value)


def clean_text(text: str) -> str:
    """Replace what UTF-8 cannot hold (lone surrogates), so that every engine takes the text."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
