"""Permissions as Ansible takes them: octal digits, the number YAML made of them, or symbols."""

from __future__ import annotations

import re
from typing import Any

_SYMBOLS = re.compile(r"([ugoa]*)([=+-])([rwxXst]*|[ugo])")
_SHIFTS = {"u": 6, "g": 3, "o": 0}
_BITS = {"r": 4, "w": 2, "x": 1}


def permission_bits(mode: Any, current: int = 0, *, is_directory: bool = False) -> int | None:
    """The permission bits that a `mode` argument asks for; None if it asks for none.

    Args:
        mode: The argument.
        current: The bits that there are, to which symbols are applied.
        is_directory: Whether it is for a directory (`X`).

    >>> oct(permission_bits("0755")), oct(permission_bits("u+x,go-w", 0o664))
    ('0o755', '0o744')

    Raises:
        ValueError: It is neither octal digits nor symbols.
    """
    if mode is None or mode == "preserve":
        return None
    if isinstance(mode, int) and not isinstance(mode, bool):
        return mode
    text = str(mode)
    if re.fullmatch(r"[0-7]{1,5}", text):
        return int(text, 8)
    for symbols in text.split(","):
        match = _SYMBOLS.fullmatch(symbols)
        if match is None:
            raise ValueError(f"mode: got {mode!r}, expected octal digits such as '0644', or 'u=rw,g=r,o=r'")
        current = _applied(match[1] or "a", match[2], match[3], current, is_directory=is_directory)
    return current


def _applied(who: str, operator: str, what: str, current: int, *, is_directory: bool) -> int:
    wanted = _wanted(what, current, is_directory=is_directory)
    for one in "ugo" if "a" in who else who:
        shift = _SHIFTS[one]
        bits = wanted << shift
        if "t" in what:
            bits |= 0o1000
        if "s" in what:
            bits |= {"u": 0o4000, "g": 0o2000, "o": 0}[one]
        if operator == "=":
            current = (current & ~(7 << shift)) | bits
        elif operator == "+":
            current |= bits
        else:
            current &= ~bits
    return current


def _wanted(what: str, current: int, *, is_directory: bool) -> int:
    """The three bits of a class of users."""
    if what in _SHIFTS:
        return (current >> _SHIFTS[what]) & 7
    bits = sum(_BITS.get(letter, 0) for letter in set(what))
    return bits | 1 if "X" in what and (is_directory or current & 0o111) else bits
