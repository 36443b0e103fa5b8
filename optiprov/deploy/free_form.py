"""The free form of a task's arguments: `src=a dest=b`, or a command line with a few such words in it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

_NAMED = re.compile(r"([A-Za-z_]\w*)=", re.DOTALL)
_TOGETHER = re.compile(  # what holds a word together: templates, quotes; else one character
    r"""\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\\.|.""", re.DOTALL
)
_QUOTED_LENGTH = 2


def key_values(text: str) -> dict[str, str] | None:
    """The arguments of the form `src=a dest="b c"`; None if a word of the text is none.

    >>> key_values("src=a dest={{ dir }}/b mode='0644'")
    {'src': 'a', 'dest': '{{ dir }}/b', 'mode': '0644'}
    """
    arguments = {}
    for _, _, word in _words(text):
        match = _NAMED.match(word)
        if match is None:
            return None
        arguments[match[1]] = _unquoted(word[match.end() :])
    return arguments


def split_command(text: str, names: Container[str]) -> tuple[str, dict[str, str]]:
    """A command line without the arguments in it that have one of the names, and those arguments.

    >>> split_command("echo a=b > x chdir=/tmp", {"chdir"})
    ('echo a=b > x', {'chdir': '/tmp'})
    """
    arguments: dict[str, str] = {}
    kept = []
    position = 0
    for start, end, word in _words(text):
        match = _NAMED.match(word)
        if match is None or match[1] not in names:
            continue
        arguments[match[1]] = _unquoted(word[match.end() :])
        kept.append(text[position:start])
        position = end
    if not arguments:
        return text, arguments
    kept.append(text[position:])
    return " ".join(part.strip() for part in kept if part.strip()), arguments


def _words(text: str) -> Iterator[tuple[int, int, str]]:
    """Start, end and text of each word; what stands in quotes or in a template holds together."""
    start = None
    for match in _TOGETHER.finditer(text):
        if match[0].isspace():
            if start is not None:
                yield start, match.start(), text[start : match.start()]
            start = None
        elif start is None:
            start = match.start()
    if start is not None:
        yield start, len(text), text[start:]


def _unquoted(value: str) -> str:
    is_quoted = len(value) >= _QUOTED_LENGTH and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1].replace(f"\\{value[0]}", value[0]) if is_quoted else value
