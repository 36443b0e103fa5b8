"""Slots: the records of a segment or a batch as rows of sixteen 64-bit words, little-endian.

    a packed row       task id, time (ns), item, value, ..., padding, marker: the number of its shape
    any other record   where it lies, length, CRC-32, padding, marker: ELSEWHERE

A packed row is the begin or end of a task whose id is a number and whose one data item has numbers as
values, as many as fit. Its shape has the codes of those, as `struct` has them: q for integers, d for floats;
in front of them, a [ says that each value was in a list of its own. The marker is written last, so that a
slot without one is not there yet.

In a batch the bytes of all slots at one place go together, and those that are zero throughout are left out:
of numbers that are small, or alike, little remains.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Any, Dict, Final, List, Optional, Sequence, Tuple

from optiprov.errors import WireError

WORDS: Final = 16
SLOT_BYTES: Final = 8 * WORDS
FIRST_VALUE: Final = 3
MAX_VALUES: Final = WORDS - 1 - FIRST_VALUE
ELSEWHERE: Final = 1 << 32
"""The marker of a record that is no packed row; shapes have lower numbers."""
LISTED: Final = "["
_CODES: Dict[type, str] = {int: "q", float: "d"}
ROW_BYTES: Final = SLOT_BYTES - 8
"""Of a slot without its marker."""
_NAMED_PLANES = SLOT_BYTES // 4  # hexadecimal digits of a mask
elsewhere_slot = struct.Struct(f"<QQQ{ROW_BYTES - 24}x")
"""Offset, length and CRC-32 of a record that lies elsewhere."""
_MARKER = struct.Struct("<Q")


@lru_cache(maxsize=256)
def row_struct(codes: str) -> struct.Struct:
    """Return how a packed row with values of these codes is packed, padding included, the marker left out."""
    codes = codes.lstrip(LISTED)
    return struct.Struct(f"<qqq{codes}{8 * (MAX_VALUES - len(codes))}x")


def encode_marker(number: int) -> bytes:
    """Return the last bytes of a slot."""
    return _MARKER.pack(number)


def codes_of(values: Sequence[Any]) -> Optional[str]:
    """Return the codes of values, None where they are not all numbers or too many.

    >>> codes_of([1, 0.5]), codes_of([True]), codes_of(["x"])
    ('qd', None, None)
    """
    codes = [_CODES.get(type(value), "") for value in values]
    return "".join(codes) if all(codes) and len(codes) <= MAX_VALUES else None


def markers(slots: Any) -> List[int]:
    """Return the markers of slots, given as anything that has their bytes; 0 where nothing is yet."""
    words = memoryview(slots).cast("Q")
    return words[WORDS - 1 :: WORDS].tolist()


def is_packed(marker: int) -> bool:
    """Whether a marker is that of a packed row."""
    return 0 < marker < ELSEWHERE


def read_packed(slot: bytes, codes: str) -> List[Any]:
    """Return a packed row as a row of its shape: number, id, time (us), item, values.

    It lacks the list of dependencies that the row of a begin has.
    """
    task_id, time_ns, item, *values = row_struct(codes).unpack_from(slot)
    (marker,) = _MARKER.unpack_from(slot, ROW_BYTES)
    if codes.startswith(LISTED):
        values = [[value] for value in values]
    return [marker, task_id, time_ns // 1000, item, *values]


def split_planes(slots: bytes) -> Tuple[str, bytes]:
    """Return slots byte by byte: which of the places are not zero throughout, in hexadecimal, and those."""
    nothing = bytes(len(slots) // SLOT_BYTES)
    mask, planes = 0, []
    for place in range(SLOT_BYTES):
        plane = slots[place::SLOT_BYTES]
        if plane != nothing:
            mask |= 1 << place
            planes.append(plane)
    return f"{mask:0{_NAMED_PLANES}x}", b"".join(planes)


def join_planes(count: int, mask: str, planes: bytes) -> bytearray:
    """Return the slots that `split_planes` was given.

    Raises:
        WireError: there are not as many planes as the mask says.
    """
    try:
        places = [place for place in range(SLOT_BYTES) if int(mask, 16) >> place & 1]
    except (ValueError, TypeError) as error:
        raise WireError(f"the places of slots are hexadecimal, got {str(mask)[:80]}") from error
    if len(planes) != count * len(places):
        raise WireError(f"slots have {count * len(places)} bytes, got {len(planes)}")
    slots = bytearray(count * SLOT_BYTES)
    for number, place in enumerate(places):
        slots[place::SLOT_BYTES] = planes[number * count : (number + 1) * count]
    return slots
