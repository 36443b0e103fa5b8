"""Values of answers as JSON has them, which knows neither NaN nor infinities, times or bytes."""

from __future__ import annotations

import base64
import datetime
import math
from decimal import Decimal
from typing import Any


def json_value(value: Any) -> Any:
    """Return a value of an answer as JSON can hold it; None, and nothing else, becomes null.

    NaN and the infinities become the texts "NaN", "Infinity" and "-Infinity", which `float()` reads; times
    become ISO 8601, bytes base64, and decimal numbers (which sums are in DuckDB) numbers.

    >>> json_value([float("nan"), None, Decimal("3"), b"op"])
    ['NaN', None, 3, 'b3A=']
    """
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else float_text(value)
    if isinstance(value, (list, tuple)):
        return [json_value(one) for one in value]
    if isinstance(value, dict):
        return {str(name): json_value(one) for name, one in value.items()}
    if isinstance(value, datetime.datetime):
        return value.isoformat(timespec="microseconds")
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    return base64.b64encode(value).decode("ascii") if isinstance(value, bytes) else str(value)


def float_text(value: float) -> str:
    """Return a double as text with all its digits: NaN, Infinity and -Infinity are called so.

    >>> float_text(float("-inf")), float_text(0.1)
    ('-Infinity', '0.1')
    """
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return repr(value)
