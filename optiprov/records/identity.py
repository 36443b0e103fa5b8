"""Identities: how runs, clients, tasks and data items are named and keyed.

A key is 63 bits that depend on nothing but names. As it is computed, not allotted, begin, end, dependencies
and uses may arrive in any order and from any client. Of a million keys, two are equal with a probability of
5e-8.
"""

from __future__ import annotations

import os
from typing import Optional

_MASK = (1 << 64) - 1
# What numbers are multiplied by, and how bits are mixed then: SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
STRIDE = 0x9E3779B97F4A7C15
MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
LAST_SHIFT = 31
_DIGITS = 18  # an id with more is no number


def new_id() -> str:
    """Return 16 random hexadecimal digits: the id of a client or a run."""
    return os.urandom(8).hex()


def base_key(*names: str) -> int:
    """Return 64 bits that stand for names: those of what numbers count, such as a run's tasks."""
    from hashlib import blake2b  # 3 ms that only the store needs

    text = "\x00".join(names)
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def numbered_key(base: int, number: int) -> int:
    """Return the key of the thing with this number among those that the base stands for."""
    mixed = (base + number * STRIDE) & _MASK
    for shift, factor in MIX:
        mixed = ((mixed ^ (mixed >> shift)) * factor) & _MASK
    return (mixed ^ (mixed >> LAST_SHIFT)) >> 1


def number_of(text: str) -> Optional[int]:
    """Return the number that an id is, as `str` writes it; None where it is no natural number below 10^18.

    >>> number_of("17"), number_of("017"), number_of("x")
    (17, None, None)
    """
    is_number = text.isdigit() and text.isascii() and len(text) <= _DIGITS and (text[0] != "0" or text == "0")
    return int(text) if is_number else None


def task_key(run_id: str, transformation: str, task_id: str) -> int:
    """Return the store's key of a task, which depends on its run, its transformation and its id.

    >>> task_key("a", "train", "1") == task_key("a", "train", "1") != task_key("b", "train", "1")
    True
    """
    number = number_of(task_id)
    if number is None:
        return base_key(run_id, transformation, task_id) >> 1
    return numbered_key(base_key(run_id, transformation), number)


def item_key(item_id: str) -> int:
    """Return the store's key of a data item, which depends on its id alone."""
    client, _, rest = item_id.rpartition(":")
    number = number_of(rest)
    return base_key(item_id) >> 1 if number is None else numbered_key(base_key(client), number)
