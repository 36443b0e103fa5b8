"""Rows as SQL literals that DuckDB and MonetDB both read, made column by column."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from optiprov.store.monetdb.dialect import portable_text

if TYPE_CHECKING:
    import pyarrow as pa

_SPECIAL = r"['\\\t\r\n\x00]"
_LARGEST = sys.float_info.max
_SMALLEST_INTEGER = -(2**63)


def literal_rows(rows: pa.Table) -> list[str]:
    """Return each row as `(value, value, ...)`, on one line."""
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = [_literals(column) for column in rows.columns]
    text = pa.large_string()
    cells = pc.binary_join_element_wise(
        *columns, pa.scalar(", ", text), null_handling="replace", null_replacement="NULL"
    )
    lines = pc.binary_join_element_wise(
        pa.scalar("(", text), cells, pa.scalar(")", text), pa.scalar("", text)
    )
    listed: list[str] = lines.to_pylist()
    return listed


def _literals(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the literals of a column as texts, NULL where there is no value."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _texts(column)
    if pa.types.is_timestamp(kind):
        written = pc.strftime(column, format="%Y-%m-%d %H:%M:%S").cast(pa.large_string())
        return _around("TIMESTAMP '", written, "'")
    if pa.types.is_floating(kind):
        return _doubles(column)
    if pa.types.is_integer(kind):
        column = pc.if_else(pc.equal(column, _SMALLEST_INTEGER), pa.scalar(None, kind), column)
    return column.cast(pa.large_string())


def _texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = column.cast(pa.large_string())
    if pc.any(pc.match_substring_regex(texts, _SPECIAL)).as_py():
        written = [None if text is None else portable_text(text) for text in texts.to_pylist()]
        return pa.chunked_array([pa.array(written, pa.large_string())])
    return _around("'", texts, "'")


def _doubles(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Write doubles with an exponent: without one, MonetDB reads a decimal."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    column = pc.if_else(pc.is_nan(column), pa.scalar(None, kind), column)
    column = pc.min_element_wise(column, pa.scalar(_LARGEST, kind), skip_nulls=False)
    column = pc.max_element_wise(column, pa.scalar(-_LARGEST, kind), skip_nulls=False)
    written = column.cast(pa.large_string())
    return pc.if_else(pc.match_substring(written, "e"), written, _around("", written, "e0"))


def _around(before: str, texts: pa.ChunkedArray, after: str) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    text = pa.large_string()
    return pc.binary_join_element_wise(
        pa.scalar(before, text), texts, pa.scalar(after, text), pa.scalar("", text)
    )
