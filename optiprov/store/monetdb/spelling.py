"""Names without quotes, in whatever case: as DuckDB reads them, where MonetDB folds them to lower case.

MonetDB finds no view `iExtract` and no column `SOURCE` by words without quotes. So a query that it does not
understand is spelled anew, with quotes around the words that are the name of something, but for their case.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optiprov.store.backend import quote_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

Token = tuple[str, str]
"""A part of a statement: what it is, and its text."""

_RESERVED = """
    all analyse analyze and anti any array as asc asof asymmetric at authorization binary both by case cast
    check collate collation column columns concurrently constraint create cross default deferrable desc
    describe distinct do else end except false fetch for foreign freeze from full generated glob group having
    ilike in initially inner intersect into is isnull join lambda lateral leading left like limit map natural
    not notnull null offset on only or order outer overlaps pivot pivot_longer pivot_wider placing positional
    primary qualify references returning right select semi show similar some struct summarize symmetric table
    tablesample then to trailing true try_cast tuple union unique unpack unpivot using variadic verbose when
    where window with"""
"""What DuckDB keeps for itself, so that no query for it has one of them as a name without quotes."""
_IN_QUERIES = """
    between current escape exists filter following groups nulls over partition preceding range recursive row
    rows sets unbounded values"""
SYNTAX = frozenset(f"{_RESERVED} {_IN_QUERIES}".split())
"""Words that are no names, unless there is a dot beside them."""

KNOWN = """
    SELECT name FROM sys.schemas WHERE NOT system AND lower(name) IN ({words})
    UNION SELECT name FROM sys.tables WHERE NOT system AND lower(name) IN ({words})
    UNION SELECT c.name FROM sys.columns c JOIN sys.tables t ON t.id = c.table_id
    WHERE NOT t.system AND lower(t.name) IN ({words}) AND lower(c.name) IN ({words})"""
"""The query for the names that some words may stand for: schemas, tables, and the columns of these tables."""


def words_of(tokens: Collection[Token]) -> set[str]:
    """Return the words and names of a statement in lower case."""
    words = {text.lower() for kind, text in tokens if kind == "word"}
    return words | {text[1:-1].replace('""', '"').lower() for kind, text in tokens if kind == "name"}


def spelled(tokens: Sequence[Token], names: Collection[str]) -> Iterator[Token]:
    """Yield a statement's tokens with quotes around each word that is one of the names but for its case.

    Where several names differ in their case only, a word is the one that is written as it is, if any.

    >>> tokens = [("word", "i"), ("other", "."), ("word", "Source")]
    >>> "".join(text for _, text in spelled(tokens, {"SOURCE"}))
    'i."SOURCE"'
    """
    by_word: dict[str, set[str]] = {}
    for name in names:
        by_word.setdefault(name.lower(), set()).add(name)
    nothing = ("", "")
    significant = [nothing, nothing, *(token for token in tokens if token[0] != "space"), nothing]
    number = 1
    for kind, text in tokens:
        number += kind != "space"
        alike = by_word.get(text.lower(), set()) if kind == "word" else set()
        meant = [text] if text in alike else [*alike]
        is_one = len(meant) == 1 and _is_name(*significant[number - 2 : number + 2])
        yield ("name", quote_name(meant[0])) if is_one else (kind, text)


def _is_name(second_last: Token, last: Token, word: Token, following: Token) -> bool:
    """Return whether a word behind two tokens and before another is a name, and no part of the syntax."""
    if "." in (last[1], following[1]):
        return True
    if word[1].lower() in SYNTAX or following[1] == "(" or following[0] == "text":  # f(x); DATE '2024-01-31'
        return False
    if last[0] in ("text", "number", "parameter") or last[1].upper() == "NULLS":  # INTERVAL '1' DAY
        return False
    is_type = last[1].upper() == "AS" and following[1] == ")"  # CAST(x AS DATE)
    is_field = last[1] == "(" and second_last[1].upper() == "EXTRACT"  # EXTRACT(YEAR FROM x)
    return not is_type and not is_field
