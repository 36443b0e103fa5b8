"""Reads the arguments of a query, which come from Python, JSON or a command line."""

from __future__ import annotations

import datetime
from typing import Any

from optiprov.errors import QueryError

_INT64 = 2**63


def read_time(name: str, text: str) -> datetime.datetime:
    """Return the time that a text gives for a field, in UTC.

    Raises:
        QueryError: it is none.
    """
    try:
        time = datetime.datetime.fromisoformat(text)
        return time.astimezone(datetime.timezone.utc).replace(tzinfo=None) if time.tzinfo else time
    except (ValueError, OverflowError) as error:
        raise QueryError(
            f"{name} is a time, such as 2026-01-31 or 2026-01-31T12:00:00Z, got {text!r}"
        ) from error


def read_names(projection: Any) -> list[str]:
    """Return the fields of a projection.

    Raises:
        QueryError: it is no list of texts.
    """
    if isinstance(projection, str) or not all(isinstance(name, str) for name in projection or ()):
        raise QueryError(f"a projection is a list of fields, got {projection!r}")
    return list(projection or ())


def read_pairs(listed: Any, what: str, form: str) -> list[tuple[str, str]]:
    """Return pairs of texts, such as those of an aggregation.

    Raises:
        QueryError: they are none; the message says of which form.
    """
    if isinstance(listed, str) or not all(
        isinstance(pair, (tuple, list)) and len(pair) == 2 and all(isinstance(one, str) for one in pair)
        for pair in listed or ()
    ):
        raise QueryError(f"{what} is a list of {form}, got {listed!r}")
    return [(first, second) for first, second in listed or ()]


def read_limit(limit: int) -> int:
    """Return a limit.

    Raises:
        QueryError: it is no whole number from 0 on.
    """
    if isinstance(limit, bool) or not isinstance(limit, int) or not 0 <= limit < _INT64:
        raise QueryError(f"a limit is a whole number from 0 on, got {limit!r}")
    return limit
