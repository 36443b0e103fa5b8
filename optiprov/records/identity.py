"""Identities: how runs, clients, tasks and data items are named and keyed."""

from __future__ import annotations

import os


def new_id() -> str:
    """Return 16 random hexadecimal digits: the id of a client or a run."""
    return os.urandom(8).hex()


def _key(text: str) -> int:
    from hashlib import blake2b  # 3 ms that only the store needs

    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def task_key(run_id: str, task_id: str) -> int:
    """Return the store's key of a task: 63 bits that depend on nothing but its run and its id.

    A key that is computed rather than allotted lets begin, end, dependencies and uses arrive in any order
    and from any client. Two of a million tasks share one with a probability of 5e-8.

    >>> task_key("a", "1") == task_key("a", "1") != task_key("b", "1")
    True
    """
    return _key(run_id + "\x00" + task_id)


def item_key(item_id: str) -> int:
    """Return the store's key of a data item: 63 bits that depend on its id alone."""
    return _key(item_id)
