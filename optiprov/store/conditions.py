"""Conditions as people write them: `generated.accuracy > 0.9`, `used.optimizer in (adam, "my sgd")`.

A filter of the query API is a mapping; this is the same in words, for the command line and for the commands
that are shown to people. What `write_condition` writes, `read_condition` reads.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optiprov.errors import QueryError

if TYPE_CHECKING:
    from collections.abc import Mapping

OPERATORS: Mapping[str, str] = {
    "$eq": "=",
    "$ne": "!=",
    "$gt": ">",
    "$gte": ">=",
    "$lt": "<",
    "$lte": "<=",
    "$like": "like",
    "$in": "in",
}
"""The comparisons of a filter, and how they are written."""

_ALSO = {"==": "$eq", "<>": "$ne"}
_BY_WRITTEN = {written: operator for operator, written in OPERATORS.items()} | _ALSO
_QUOTED = r'"(?:[^"\\]|\\.)*"|\'(?:[^\']|\'\')*\''
_FIELD = rf"(?P<field>(?:{_QUOTED}|[^\s<>=!~\"'])+)"
_CONDITION = re.compile(
    rf"\s*{_FIELD}\s*(?:(?P<symbol>[<>=!~]+)|\s(?P<word>[^\W\d]\w*)(?=[\s(\[]))\s*(?P<value>.*?)\s*",
    re.DOTALL,
)
_VALUE = re.compile(_QUOTED)
_LISTED = re.compile(rf"\s*({_QUOTED}|[^,\"']*?)\s*(,|$)")
_JOINED = re.compile(rf"((?:{_QUOTED}|[^\"'])*?)(?:\s(and|or)\s|&&|\|\|)(.*)", re.IGNORECASE | re.DOTALL)
_BARE = re.compile(r"[^\s\"'(),<>=!~&|\[\]{}]+")
_BARE_FIELD = re.compile(r"[^\s<>=!~\"']+")


@dataclass(frozen=True)
class Literal:
    """A value as it was written: what it is depends on the field that it is compared with.

    Attributes:
        text: what was written, without quotes.
        is_quoted: whether it was in quotes: then it is text.
    """

    text: str
    is_quoted: bool = False

    def as_kind(self, kind: str | None) -> Any:
        """Return the value for a field of a kind: text for text, otherwise a JSON literal or text.

        >>> Literal("007").as_kind("text"), Literal("7").as_kind("integer"), Literal("null").as_kind("text")
        ('007', 7, None)
        """
        if self.is_quoted:
            return self.text
        if self.text == "null":
            return None
        if kind in ("text", "json", "timestamp"):
            return self.text
        try:
            return json.loads(self.text)
        except ValueError:
            return self.text


def read_condition(text: str) -> dict[str, dict[str, Any]]:
    """Read `FIELD OPERATOR VALUE` into a filter, whose values are `Literal`s.

    Fields and values with spaces are quoted; `in` takes a list in parentheses.

    Raises:
        QueryError: it is not one such condition; the message says what to write.

    >>> read_condition("used.n >= 3")
    {'used.n': {'$gte': Literal(text='3', is_quoted=False)}}
    """
    match = _CONDITION.fullmatch(text)
    if match is None or not match["value"]:
        raise QueryError(f"{text!r}: write FIELD OPERATOR VALUE, such as 'generated.accuracy > 0.9'.")
    written = (match["symbol"] or match["word"]).lower()
    operator = _BY_WRITTEN.get(written)
    if operator is None:
        raise QueryError(
            f"{text!r}: unknown operator {written!r}; there are {', '.join(OPERATORS.values())}."
        )
    _refuse_two(text)
    field = _VALUE.sub(lambda quoted: _unquoted(quoted[0]), match["field"])
    if operator == "$in":
        return {field: {operator: _read_list(text, match["value"])}}
    return {field: {operator: _literal(match["value"])}}


def write_condition(field: str, operator: str, value: Any) -> str:
    """Write a comparison of a filter as `read_condition` reads it.

    >>> write_condition("used.optimizer", "$in", ["adam", "my sgd"])
    'used.optimizer in (adam, "my sgd")'

    Raises:
        QueryError: the operator cannot be written so.
    """
    if operator not in OPERATORS:
        raise QueryError(f"{operator!r} cannot be written as a condition; there are {', '.join(OPERATORS)}")
    name = field if _BARE_FIELD.fullmatch(field) else json.dumps(field, ensure_ascii=False)
    shown = f"({', '.join(map(_written, value))})" if operator == "$in" else _written(value)
    return f"{name} {OPERATORS[operator]} {shown}"


def _written(value: Any) -> str:
    if isinstance(value, Literal):
        value = value.text if value.is_quoted else value.as_kind(None)
    if value is None or isinstance(value, (bool, int, float)):
        return json.dumps(value)
    text = str(value)
    return text if _BARE.fullmatch(text) and not _is_json(text) else json.dumps(text, ensure_ascii=False)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _literal(text: str) -> Literal:
    return Literal(_unquoted(text), is_quoted=True) if _VALUE.fullmatch(text) else Literal(text)


def _unquoted(text: str) -> str:
    if text.startswith("'"):
        return text[1:-1].replace("''", "'")
    try:
        return str(json.loads(text))
    except ValueError:
        return text[1:-1]


def _read_list(text: str, written: str) -> list[Literal]:
    if (written[0], written[-1]) not in (("(", ")"), ("[", "]")):
        raise QueryError(f"{text!r}: `in` takes a list, such as 'used.optimizer in (adam, sgd)'.")
    inner, values, at = written[1:-1].strip(), [], 0
    while at < len(inner):
        match = _LISTED.match(inner, at)
        if match is None:
            raise QueryError(f"{text!r}: a value with a quote or a comma in it needs to be quoted.")
        values.append(_literal(match[1]))
        at = match.end()
    return values


def _refuse_two(text: str) -> None:
    """Refuse `a = 1 and b > 2`, which would otherwise compare `a` with the text `1 and b > 2`."""
    match = _JOINED.fullmatch(text)
    if match is None or not _CONDITION.fullmatch(match[3]):
        return
    first, second = match[1].strip(), match[3].strip()
    if (match[2] or "").lower() == "or" or "||" in text:
        raise QueryError(
            f"{text!r}: conditions are joined by `and` only; for one of several values of a field write"
            " FIELD in (A, B). `optiprov sql` and `query` in Python take any condition."
        )
    raise QueryError(f"{text!r} is two conditions; give --where twice: --where {first!r} --where {second!r}")
