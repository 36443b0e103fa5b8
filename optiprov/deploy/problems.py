"""The problems of a scenario, gathered so that all are told at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class Problem(NamedTuple):
    """One thing that is wrong: where (file, line, key) and what."""

    path: Path
    line: int
    key: str
    message: str

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}: "
        return f"{where}{self.key}: {self.message}" if self.key else f"{where}{self.message}"


class Problems:
    """A growing list of problems."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def add(self, path: Path, line: int, key: str, message: str) -> None:
        """Note one problem."""
        self.found.append(Problem(path, line, key, message))

    def in_order(self) -> tuple[Problem, ...]:
        """Each problem once, in the order of the files and their lines."""
        return tuple(sorted(set(self.found)))


def suggestion(word: str, allowed: Iterable[str], *, cutoff: float = 0.6) -> str:
    """`Did you mean 'x'? ` for the nearest spelling among the allowed ones, else an empty text.

    >>> suggestion("quantitty", ["name", "quantity"])
    "Did you mean 'quantity'? "
    """
    import difflib  # here: few commands have anything to suggest

    by_lower = {text.lower(): text for text in allowed}
    near = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=cutoff)
    return f"Did you mean {by_lower[near[0]]!r}? " if near else ""
