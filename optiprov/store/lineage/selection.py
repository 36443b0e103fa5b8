"""Rows of a table by their keys: asked for in parts while they are few, and otherwise read all at once.

A query has the keys as literals, since that is what every engine and the service's HTTP take. It costs some
microseconds a key, where reading a row costs much less than one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    Keys = npt.NDArray[np.int64]

_PART = 1000
_ROWS_PER_KEY = 20  # that can be read in the time that one more key in a query takes, on either engine
_KEYS_PER_QUERY = 500  # that cost as much as a query by itself


class Ask(Protocol):
    """Runs one read-only query."""

    def __call__(self, sql: str, parameters: Sequence[Any] = (), /) -> pa.Table:
        """Return the rows of the query."""


def cost(keys: int) -> int:
    """Return how many rows can be read in the time in which rows are asked for by so many keys."""
    return _ROWS_PER_KEY * (keys + _KEYS_PER_QUERY * -(-keys // _PART))


def to_keys(values: Sequence[int] | dict[int, int]) -> Keys:
    """Return integers as an array."""
    return np.fromiter(values, np.int64, len(values))


def key_list(keys: Sequence[int]) -> str:
    """Return keys as they are written behind IN.

    >>> key_list([3, 5])
    '(3, 5)'
    """
    return f"({', '.join(map(str, keys))})"


def ask_by_keys(ask: Ask, sql: str, column: str, keys: Keys) -> Iterator[pa.Table]:
    """Yield the rows of a query without WHERE that have one of some keys in a column, part by part."""
    for start in range(0, len(keys), _PART):
        yield ask(f"{sql} WHERE {column} IN {key_list(keys[start : start + _PART].tolist())}")


def select(ask: Ask, sql: str, column: str, keys: Keys, *, rows: int) -> pa.Table:
    """Return the rows of a query that have one of some keys in its first column.

    Args:
        ask: runs a query.
        sql: the query, without WHERE.
        column: the first column as WHERE names it.
        keys: the keys.
        rows: how many rows the query has without a condition, about.
    """
    if not len(keys):
        return ask(f"{sql} WHERE 1 = 0")
    if cost(len(keys)) < rows:
        return pa.concat_tables(ask_by_keys(ask, sql, column, keys), promote_options="default")
    found = ask(sql)
    return found.filter(pc.is_in(found.column(0), value_set=pa.array(keys)))
