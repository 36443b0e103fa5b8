"""Rows as the text that MonetDB's COPY INTO reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optiprov.store.monetdb.dialect import NUL

if TYPE_CHECKING:
    import pyarrow as pa

NULL = r"\N"
_LARGEST_BYTES = 256 << 20
_SPECIAL = r"[\\\t\r\n\x00]"
_ESCAPES = (("\\", r"\\"), ("\t", r"\t"), ("\r", r"\r"), ("\n", r"\n"), ("\x00", NUL))
_SMALLEST = -(2**63)


def part_infinite(rows: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Part the rows with an infinite value from the others: (the others, those)."""
    import pyarrow as pa
    import pyarrow.compute as pc

    infinite = None
    for column in rows.columns:
        if pa.types.is_floating(column.type):
            here = pc.fill_null(pc.is_inf(column), False)  # noqa: FBT003 - the value to fill with
            if pc.any(here).as_py():
                infinite = here if infinite is None else pc.or_(infinite, here)
    if infinite is None:
        return rows, rows.slice(0, 0)
    return rows.filter(pc.invert(infinite)), rows.filter(infinite)


def parts(rows: pa.Table) -> list[pa.Table]:
    """Cut rows into parts whose text fits into an Arrow array."""
    if rows.nbytes <= _LARGEST_BYTES or len(rows) < 2:
        return [rows]
    middle = len(rows) // 2
    return parts(rows.slice(0, middle)) + parts(rows.slice(middle))


def copy_text(rows: pa.Table) -> memoryview:
    """Return rows as lines of values with tabs between them, escaped by backslashes.

    It is made by Arrow's functions, column by column: there is no Python for each value. NaN becomes NULL,
    for which MonetDB's doubles have it.

    Raises:
        ValueError: an integer is -2^63, which MonetDB has for NULL.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = [_texts(name, column) for name, column in zip(rows.column_names, rows.columns, strict=True)]
    cells = pc.binary_join_element_wise(
        *columns, pa.scalar("\t", pa.large_string()), null_handling="replace", null_replacement=NULL
    )
    lines = pc.binary_join_element_wise(
        cells, pa.scalar("", pa.large_string()), pa.scalar("\n", pa.large_string())
    )
    lines = lines.combine_chunks() if isinstance(lines, pa.ChunkedArray) else lines
    if isinstance(lines, pa.ChunkedArray):
        lines = pa.concat_arrays(lines.chunks)
    return memoryview(lines.buffers()[2])[: lines.nbytes and _end(lines)]


def _end(lines: pa.Array) -> int:
    import numpy as np

    return int(np.frombuffer(lines.buffers()[1], np.int64)[lines.offset + len(lines)])


def _texts(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        texts = column.cast(pa.large_string())
        if pc.any(pc.match_substring_regex(texts, _SPECIAL)).as_py():
            for character, escape in _ESCAPES:
                texts = pc.replace_substring(texts, character, escape)
        return texts
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    elif pa.types.is_int64(column.type) and pc.min(column).as_py() == _SMALLEST:
        raise ValueError(f"{name}: MonetDB has no integer {_SMALLEST}, it stands for NULL there")
    return column.cast(pa.large_string())
