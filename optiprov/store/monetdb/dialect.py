"""MonetDB's SQL: statements as the store and its users write them, for MonetDB to read the same way.

MonetDB has no parameters in a statement that is sent at once, reads a backslash in a text as an escape, has
names that are short and plain only, and no transactions that are read-only. So a statement is taken apart
into its tokens, and put together again with what is meant written so that it cannot be read in any other way.
"""

from __future__ import annotations

import datetime
import hashlib
import math
import re
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from optiprov.errors import QueryError
from optiprov.store.monetdb.spelling import spelled, words_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

NUL = "\ufffd"
"""What is stored for a NUL character, which MonetDB's texts cannot have; `quote_name` has it in names."""
INFINITY = "(SELECT positive FROM prov.infinity)"
"""Infinity, which MonetDB's doubles can be, but for which its SQL has no word."""

_TOKEN = re.compile(
    r"""(?P<space> \s+ | --[^\n]* | \#[^\n]* )
      | (?P<comment> /\* )
      | (?P<escaped> [eE]'(?:[^'\\]|\\.|'')*' )
      | (?P<verbatim> [rR]'(?:[^']|'')*' )
      | (?P<blob> [xX]'[0-9a-fA-F]*' )
      | (?P<text> '(?:[^']|'')*' )
      | (?P<name> "(?:[^"]|"")*" )
      | (?P<nul> chr\(0\) )
      | (?P<word> [^\W\d]\w* )
      | (?P<number> \d[\w.]* )
      | (?P<parameter> \? )
      | (?P<end> ; )
      | (?P<quote> ['"] )
      | (?P<other> . )""",
    re.VERBOSE | re.DOTALL,
)
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_QUERIES = ("SELECT", "WITH", "VALUES", "(")
_EXPLAINED = ("EXPLAIN", "PLAN")
_WRITES = {
    *("INSERT", "UPDATE", "DELETE", "MERGE", "INTO", "CREATE", "ALTER", "DROP", "COPY"),
    *("FILE_LOADER", "PROTO_LOADER", "ODBC_LOADER"),  # functions of later versions, which read files
}
_RESERVED = {  # words of MonetDB's that mean nothing in a query, and are names of columns elsewhere
    *("generated", "sequence", "position", "seed", "index", "each", "records", "option", "local", "global"),
    *("every", "public", "admin", "work", "chain", "identity", "restart"),
}
_PLAIN = re.compile(r"(?!%)[\w.:/()\[\]{}$?!*+<>=|&@~^%-]+(?: [\w.:/()\[\]{}$?!*+<>=|&@~^%-]+)*")
_ESCAPES = (("\\", r"\\"), ("\n", r"\n"), ("\r", r"\r"), ("\t", r"\t"))
_LONGEST_NAME_BYTES = 900
_STEM = 60
_INT64 = 2**63
_ALL_OFFSET = _INT64 - 1


class Statement(NamedTuple):
    """A statement for MonetDB.

    Attributes:
        text: the statement.
        written: for names in it that MonetDB cannot have, the name in their place and what was written.
    """

    text: str
    written: dict[str, str]


def translate(sql: str, parameters: Sequence[Any] = ()) -> Statement:
    """Translate a statement, with values in place of its `?`.

    Raises:
        QueryError: it is cut off within a text, a name or a comment, or it has another number of parameters.
    """
    return _put_together(_tokens(sql), parameters)


def translate_query(sql: str, parameters: Sequence[Any] = (), names: Collection[str] = ()) -> Statement:
    """Translate one query; nothing else is let through, since MonetDB has no read-only transactions.

    Words without quotes that are one of the names but for their case stand for it.

    Raises:
        QueryError: as for `translate`, and where it is not one query, or none that only reads.
    """
    tokens = list(_tokens(sql))
    while tokens and tokens[-1][0] in ("end", "space"):
        tokens.pop()
    _check_reads([token for token in tokens if token[0] != "space"])
    return _put_together(spelled(tokens, names) if names else tokens, parameters)


def words_in(sql: str) -> set[str]:
    """Return what a statement may have as names, in lower case."""
    return words_of(list(_tokens(sql)))


def portable(sql: str) -> str:
    """Return a statement of the store as both MonetDB and DuckDB read it.

    >>> print(portable("SELECT u.position FROM prov.generated u WHERE u.name = 'it''s'"))
    SELECT u."position" FROM prov."generated" u WHERE u.name =  'it''s'
    """
    return _put_together(_tokens(sql), (), write_text=portable_text).text


def portable_text(text: str) -> str:
    r"""Write a text as both MonetDB and DuckDB read it, on one line.

    >>> print(portable_text("it's"), portable_text("two\nlines"))
    'it''s' E'two\nlines'
    """
    safe = text.replace("'", "''").replace("\x00", NUL)
    escaped = safe
    for character, escape in _ESCAPES:
        escaped = escaped.replace(character, escape)
    return f"'{safe}'" if escaped == safe else f"E'{escaped}'"


def literal(value: Any) -> str:
    """Write a value as MonetDB reads it.

    >>> literal(None), literal(0.5), literal("it's")
    ('NULL', '0.5e0', "'it''s'")
    """
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and -_INT64 < value < _INT64:
        return str(value) if value >= 0 else f"({value})"
    if isinstance(value, (int, float)):
        return _double(float(value))
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, datetime.datetime):
        if value.tzinfo is not None:
            value = value.astimezone(datetime.timezone.utc).replace(tzinfo=None)
        return f"TIMESTAMP '{value.isoformat(' ', 'microseconds')}'"
    return _text(str(value))


def legal_name(name: str) -> str:
    """Return the name that stands in MonetDB for one it cannot have; any other as it is.

    MonetDB takes no name that is empty, long, or begins with `%`, and what announces the columns of a result
    has no way to write commas, quotes, backslashes and control characters in a name.

    >>> legal_name("learning-rate"), legal_name('say "hi"')
    ('learning-rate', 'say_hi_f65be999')
    """
    if _PLAIN.fullmatch(name) and len(name.encode()) <= _LONGEST_NAME_BYTES:
        return name
    stem = re.sub(r"\W+", "_", name)[:_STEM].strip("_")
    digest = hashlib.sha256(name.encode("utf-8", "backslashreplace")).hexdigest()[:8]
    return f"{stem}_{digest}"


def _tokens(sql: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(sql):
        match = _TOKEN.match(sql, at)
        kind = str(match.lastgroup) if match else "quote"
        if match is None or kind == "quote":
            raise QueryError(f"a text or a name is not closed: {sql[at : at + 40]!r}")
        if kind == "comment":
            at = _comment_end(sql, at)
            yield "space", " "
            continue
        at = match.end()
        yield kind, " " if kind == "space" else match[0]


def _comment_end(sql: str, at: int) -> int:
    depth = 0
    for edge in _COMMENT_EDGE.finditer(sql, at):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return edge.end()
    raise QueryError(f"a comment is not closed: {sql[at : at + 40]!r}")


def _check_reads(tokens: list[tuple[str, str]]) -> None:
    words = [text.upper() for _, text in tokens]
    first = words[1:] if words and words[0] in _EXPLAINED else words
    if not first or first[0] not in _QUERIES or any(kind == "end" for kind, _ in tokens):
        found = " ".join(words[:3]) or "nothing"
        raise QueryError(f"One SELECT is accepted at a time, got {found}. The store is read-only to queries.")
    for place, (kind, text) in enumerate(tokens):
        if kind == "word" and text.upper() in _WRITES:
            raise QueryError(f"The store is read-only to queries, got {text.upper()}.")
        if kind == "text" and words[place - 1] in ("FROM", "JOIN"):
            raise QueryError(f"A query reads the store, no files, got {text}.")


def _put_together(
    tokens: Iterable[tuple[str, str]],
    parameters: Sequence[Any],
    write_text: Callable[[str], str] | None = None,
) -> Statement:
    listed = [*tokens, ("space", "")]
    given = list(reversed(parameters))
    parts: list[str] = []
    written: dict[str, str] = {}
    before = ""
    for (kind, token), (_, after) in pairwise(listed):
        part = token
        if kind == "text":
            part = " " + (write_text or _text)(token[1:-1].replace("''", "'"))
        elif kind == "nul":
            part = f" '{NUL}'"
        elif kind == "name":
            name = token[1:-1].replace('""', '"')
            legal = legal_name(name)
            written[legal] = name
            part = f'"{legal}"'
        elif kind == "word" and token.lower() in _RESERVED and after != "(":
            part = f'"{token.lower()}"'
        elif kind == "parameter":
            if not given:
                raise QueryError(f"the statement has more parameters than the {len(parameters)} values given")
            part = " " + literal(given.pop())
        elif kind == "number" and before == "LIMIT" and token.isdecimal() and not int(token):
            part = f"1 OFFSET {_ALL_OFFSET}"  # MonetDB takes no LIMIT 0
        parts.append(part)
        if kind != "space":
            before = token.upper() if kind == "word" else ""
    if given:
        raise QueryError(f"{len(parameters)} values are given, {len(given)} more than there are parameters")
    text = "".join(parts)
    if "\x00" in text:
        raise QueryError("a statement cannot have a NUL character outside of its texts")
    return Statement(text, {legal: name for legal, name in written.items() if legal != name})


def _text(text: str) -> str:
    safe = text.replace("'", "''").replace("\x00", NUL)
    return f"r'{safe}'" if "\\" in safe else f"'{safe}'"


def _double(value: float) -> str:
    if math.isnan(value):
        return "CAST(NULL AS DOUBLE)"  # MonetDB's doubles have NaN for NULL
    if math.isinf(value):
        return INFINITY if value > 0 else f"(- {INFINITY})"
    written = repr(value)
    written = written if "e" in written else f"{written}e0"  # without an exponent it is a decimal
    return written if value >= 0 else f"({written})"
