"""One record as bytes: a JSON array that starts with the record's kind.

JSON, since the standard library encodes it in C on every Python from 3.8 on and a person can read it.
Values that JSON lacks are tagged: {"$": type, "v": text}. NaN and infinities are written as Python's json
writes them.
"""

from __future__ import annotations

import json
import os
from typing import Any, Callable, Dict, List, Tuple, cast

from optiprov.errors import WireError
from optiprov.records import KINDS, Item, Lost, Record, TaskBegin, TaskEnd

MAX_RECORD_BYTES = 32 << 20

_KIND_OF = {cls: kind for kind, cls in KINDS.items()}
_TEXT_LIMIT = 2000  # of the repr of an object that no rule covers
_MAX_TIME_US = 2**55  # the year 3111
_MAX_DEPTH = 20  # of a structure that json refuses
_MAX_INT_BITS = 10_000  # Python converts ints of more than 4300 digits to and from text on request only


def _tagged(value: Any) -> Any:
    """Turn a value that JSON lacks into one that it has; every object has one."""
    from binascii import b2a_base64  # here, since importing these takes milliseconds
    from datetime import date

    if isinstance(value, date):  # a datetime is one
        return {"$": "time", "v": value.isoformat()}
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"$": "bytes", "v": b2a_base64(bytes(value), newline=False).decode("ascii")}
    if hasattr(value, "tolist"):  # numpy scalars and arrays, without importing numpy
        listed = value.tolist()
        return listed if type(listed) is not type(value) else _text(value)
    if type(value).__name__ == "Decimal":  # without importing decimal
        return {"$": "decimal", "v": str(value)}
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=repr)
    if isinstance(value, os.PathLike):
        return _path(value)
    return _text(value)


def _path(value: Any) -> str:
    try:
        return os.fsdecode(value)  # str() of one need not be its path, and a path may be bytes
    except Exception:  # noqa: BLE001 - a foreign __fspath__ may raise anything
        return _text(value)


def _text(value: Any) -> str:
    try:
        return repr(value)[:_TEXT_LIMIT]
    except Exception as error:  # noqa: BLE001 - a foreign __repr__ may raise anything
        return f"<{type(value).__name__} whose repr raises {type(error).__name__}>"


_encode_json = json.JSONEncoder(default=_tagged, separators=(",", ":")).encode


def _make_row_encoder() -> Callable[[List[Any]], str]:
    """Return an encoder of plain rows: json's own in C, kept, where `encode` makes a new one each time."""
    make: Any = getattr(json.encoder, "c_make_encoder", None)
    if make is None:  # no C: another Python
        return _encode_json
    quote = json.encoder.encode_basestring_ascii
    sort_keys, skip_keys, allow_nan = False, False, True
    encode = make(None, _tagged, quote, None, ":", ",", sort_keys, skip_keys, allow_nan)
    return lambda row: "".join(encode(row, 0))


encode_row = _make_row_encoder()
"""Encodes a row of values of any type; raises anything where `encode_record` would replace a value."""


def _plain(value: Any, above: Tuple[int, ...] = ()) -> Any:
    """Copy a structure that json refuses (circular, keys that are no text, a huge int) into one it takes."""
    if id(value) in above or len(above) > _MAX_DEPTH:
        return _text(value) if len(above) > _MAX_DEPTH else "<circular>"
    inside = (*above, id(value))
    if isinstance(value, dict):
        pairs = list(value.items())  # another thread may change it meanwhile
        return {key if isinstance(key, str) else _text(key): _plain(item, inside) for key, item in pairs}
    if isinstance(value, (list, tuple)):
        return [_plain(item, inside) for item in list(value)]
    if isinstance(value, int) and value.bit_length() > _MAX_INT_BITS:
        return {"$": "int", "v": hex(value)}
    try:
        _encode_json(value)
    except Exception as error:  # noqa: BLE001 - a foreign object may raise anything
        return _replaced(value, error, inside)
    return value


def _replaced(value: Any, error: Exception, inside: Tuple[int, ...]) -> Any:
    try:
        tagged = _tagged(value)
    except Exception:  # noqa: BLE001 - as above
        return f"<{type(value).__name__} that cannot be encoded: {type(error).__name__}>"
    return _plain(tagged, inside)


def encode_record(record: Record) -> bytes:
    """Encode a record; whatever its values are, this does not fail.

    One of more than `MAX_RECORD_BYTES` becomes a tombstone: no broker would carry it.
    """
    row = (_KIND_OF[type(record)], *record)
    try:
        payload = _encode_json(row).encode("ascii")
    except Exception:  # noqa: BLE001 - values are of any type, and may raise anything
        payload = _encode_json(_plain(row)).encode("ascii")
    if len(payload) > MAX_RECORD_BYTES:
        reason = f"a {type(record).__name__} of {len(payload)} bytes; at most {MAX_RECORD_BYTES} are sent"
        return encode_record(Lost(1, reason))
    return payload


def decode_record(payload: bytes) -> Record:
    """Decode a record and check it.

    Raises:
        WireError: the payload is no record; the message says why.
    """
    return read_record(_parse(payload))


def parse_records(payloads: List[bytes]) -> List[Any]:
    """Return what the JSON texts of records stand for; in place of what is none, the error.

    All in one call of the parser, unless one of them is broken.
    """
    try:
        parsed: List[Any] = json.loads(b"[%b]" % b",".join(payloads))
        if len(parsed) == len(payloads):
            return parsed
    except (ValueError, RecursionError):
        pass
    return [_parsed_or_error(payload) for payload in payloads]


def _parsed_or_error(payload: bytes) -> Any:
    try:
        return _parse(payload)
    except WireError as error:
        return error


def _parse(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise WireError(f"not a JSON text: {error}") from error


def read_record(row: Any) -> Record:
    """Return the record that a parsed JSON text, or an error in its place, stands for.

    Raises:
        WireError: it is no record; the message says why.
    """
    if isinstance(row, WireError):
        raise row
    if isinstance(row, list) and row and isinstance(row[0], int):
        raise WireError(f"the batch does not define the shape {str(row[0])[:80]}")
    if not isinstance(row, list) or not row or not isinstance(row[0], str) or row[0] not in KINDS:
        raise WireError(f"not a record of a known kind ({', '.join(KINDS)})")
    cls: Any = KINDS[row[0]]
    if len(row) - 1 != len(cls._fields):
        raise WireError(f"{cls.__name__} has {len(cls._fields)} fields, got {len(row) - 1}")
    record = cast("Record", cls(*row[1:]))
    _check(record)
    return _with_items(record)


def _with_items(record: Record) -> Record:
    if isinstance(record, TaskBegin):
        return record._replace(used=[_item(raw) for raw in record.used])
    if isinstance(record, TaskEnd):
        return record._replace(generated=[_item(raw) for raw in record.generated])
    return record


def _item(raw: Any) -> Item:
    if not isinstance(raw, list) or len(raw) != len(Item._fields):
        raise WireError("a data item is a list of 6: id, dataset, dataflow, derived_from, attributes, file")
    item = Item(*raw)
    texts = (item.item_id, item.dataset, item.dataflow)
    if not all(isinstance(text, str) for text in texts) or not isinstance(item.derived_from, list):
        raise WireError("a data item's id, dataset and dataflow are text, derived_from is a list")
    if item.attributes is not None and not isinstance(item.attributes, dict):
        raise WireError("a data item's attributes are a mapping of names to values")
    if item.file is not None and not _is_file(item.file):
        raise WireError("a data item's file has path, role, size_bytes and modified_us")
    return item


def _is_file(file: Any) -> bool:
    return (
        isinstance(file, dict)
        and all(_IS["Optional[str]"](file.get(name)) for name in ("path", "role"))
        and all(file.get(name) is None or _IS["int"](file[name]) for name in ("size_bytes", "modified_us"))
        and abs(file.get("modified_us") or 0) < _MAX_TIME_US
    )


def _is_float(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and (isinstance(value, float) or value.bit_length() < 1024)


_IS: Dict[str, Callable[[Any], bool]] = {
    "str": lambda value: isinstance(value, str),
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**62,
    "float": _is_float,
    "Optional[str]": lambda value: value is None or isinstance(value, str),
    "Optional[float]": lambda value: value is None or _is_float(value),
    "List[str]": lambda value: isinstance(value, list) and all(isinstance(v, str) for v in value),
    "List[Item]": lambda value: isinstance(value, list),
    "Dict[str, Any]": lambda value: isinstance(value, dict),
    "Any": lambda _value: True,
}


def _checks(cls: Any) -> List[Tuple[str, str, Callable[[Any], bool]]]:
    kinds = {name: getattr(kind, "__forward_arg__", kind) for name, kind in cls.__annotations__.items()}
    return [(name, kind, _IS[kind]) for name, kind in kinds.items()]


_CHECKS = {cls: _checks(cls) for cls in KINDS.values()}


def _check(record: Record) -> None:
    for value, (name, kind, holds) in zip(record, _CHECKS[type(record)]):
        if not holds(value):
            got = repr(value)[:80]
            raise WireError(f"{type(record).__name__}.{name} is {kind}, got {got}")
