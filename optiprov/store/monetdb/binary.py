"""Columns as the bytes that MonetDB's COPY BINARY INTO reads: a file each.

Numbers are little-endian; NULL is the least number, NaN for doubles. Texts end with a NUL each. A time has
the parts of its day and its date (documentation of MonetDB, "Binary bulk load").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from optiprov.store.monetdb.dialect import NUL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_NULL_TEXT = b"\x80"  # begins no character
_SMALLEST = -(2**63)
_DAY_US = 86_400_000_000
_TIMESTAMP = np.dtype(
    [
        ("microsecond", "<u4"),
        ("second", "u1"),
        ("minute", "u1"),
        ("hour", "u1"),
        ("", "u1"),
        ("day", "u1"),
        ("month", "u1"),
        ("year", "<i2"),
    ]
)
_NULL_TIMESTAMP = np.frombuffer(b"\xff" * _TIMESTAMP.itemsize, _TIMESTAMP)[0]


def can_be_binary(rows: pa.Table) -> bool:
    r"""Whether rows come through as they are.

    MonetDB makes \n of \r\n in binary texts, and earlier versions refuse booleans that are NULL.
    """
    return all(column.type in _BYTES and _is_fit(column) for column in rows.columns)


def _is_fit(column: pa.ChunkedArray) -> bool:
    if pa.types.is_boolean(column.type):
        return bool(column.null_count == 0)
    return not (pa.types.is_string(column.type) and pc.any(pc.match_substring(column, "\r")).as_py())


def binary_columns(rows: pa.Table) -> list[memoryview]:
    """Return the bytes of each column, in order.

    Raises:
        ValueError: an integer is -2^63, which MonetDB has for NULL.
    """
    return [
        memoryview(_BYTES[column.type](name, _in_one(column)))
        for name, column in zip(rows.column_names, rows.columns, strict=True)
    ]


def _in_one(column: pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks()
    return pa.concat_arrays(whole.chunks) if isinstance(whole, pa.ChunkedArray) else whole


def _integers(name: str, column: pa.Array) -> bytes:
    if pc.min(column).as_py() == _SMALLEST:
        raise ValueError(f"{name}: MonetDB has no integer {_SMALLEST}, it stands for NULL there")
    return _numbers(pc.fill_null(column, _SMALLEST))


def _doubles(_name: str, column: pa.Array) -> bytes:
    return _numbers(pc.fill_null(column, np.nan))


def _booleans(_name: str, column: pa.Array) -> bytes:
    return _numbers(column.cast(pa.int8()))


def _numbers(column: pa.Array) -> bytes:
    values = column.to_numpy(zero_copy_only=False)
    return bytes(values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes())


def _texts(_name: str, column: pa.Array) -> memoryview:
    texts = column.cast(pa.large_binary())
    if pc.any(pc.match_substring(column, "\x00")).as_py():
        texts = pc.replace_substring(texts, b"\x00", NUL.encode())
    ended = pc.binary_join_element_wise(pc.fill_null(texts, _NULL_TEXT), _NOTHING, _END_OF_TEXT)
    _, offsets, content = ended.buffers()
    places = np.frombuffer(offsets, np.int64)
    return memoryview(content)[places[ended.offset] : places[ended.offset + len(ended)]]


def _timestamps(_name: str, column: pa.Array) -> bytes:
    is_null = pc.is_null(column).to_numpy(zero_copy_only=False)
    time_us = pc.fill_null(column.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
    day, of_day_us = np.divmod(time_us, _DAY_US)
    second, microsecond = np.divmod(of_day_us, 1_000_000)
    found = np.zeros(len(column), _TIMESTAMP)
    found["microsecond"], found["second"] = microsecond, second % 60
    found["minute"], found["hour"] = second // 60 % 60, second // 3600
    days, place = np.unique(day, return_inverse=True)
    dates = days.astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    found["year"] = (months.astype("datetime64[Y]").astype(np.int64) + 1970)[place]
    found["month"] = (months.astype(np.int64) % 12 + 1)[place]
    found["day"] = ((dates - months).astype(np.int64) + 1)[place]
    found[is_null] = _NULL_TIMESTAMP
    return found.tobytes()


_NOTHING, _END_OF_TEXT = pa.scalar(b"", pa.large_binary()), pa.scalar(b"\x00", pa.large_binary())
_BYTES: Mapping[pa.DataType, Callable[[str, pa.Array], bytes | memoryview]] = {
    pa.int64(): _integers,
    pa.float64(): _doubles,
    pa.bool_(): _booleans,
    pa.string(): _texts,
    pa.timestamp("us"): _timestamps,
}
