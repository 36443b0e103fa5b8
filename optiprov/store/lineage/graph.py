"""The edges of the provenance graph, by the keys of tasks and data items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from optiprov.store.lineage.selection import ask_by_keys, cost

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

    from optiprov.store.lineage.selection import Ask, Keys

Kind = Literal["used", "generated", "derivation", "dependency"]
Direction = Literal["up", "down"]

_TABLES: dict[Kind, tuple[str, str]] = {
    # the columns of the end that came later and of the one before it
    "used": ("task", "item"),
    "generated": ("item", "task"),
    "derivation": ("item", "source"),
    "dependency": ("task", "depends_on"),
}
_COUNTS = """
    SELECT (SELECT count(*) FROM prov.used) AS used, (SELECT count(*) FROM prov.generated) AS generated,
           (SELECT count(*) FROM prov.derivation) AS derivation,
           (SELECT count(*) FROM prov.dependency_given) AS dependency"""


class Pairs(NamedTuple):
    """Edges, as the keys at their near ends, where they were looked for, and at their far ends."""

    near: Keys
    far: Keys

    def where(self, chosen: Iterable[bool]) -> Pairs:
        """Return some of the edges."""
        mask = np.fromiter(chosen, np.bool_, len(self.near))
        return Pairs(self.near[mask], self.far[mask])


class Adjacency:
    """The edges of one kind, looked up from one end.

    Looked up in the store, until that would have taken longer than reading all of them; then in memory.

    Args:
        ask: runs a query.
        kind: of the edges.
        direction: "up" looks up what came before, "down" what came of it.
        rows: how many there are.
    """

    def __init__(self, ask: Ask, kind: Kind, direction: Direction, rows: int) -> None:
        self.kind: Kind = kind
        self._ask = ask
        near, far = _TABLES[kind] if direction == "up" else _TABLES[kind][::-1]
        self._sql = f"SELECT e.{near} AS near, e.{far} AS far FROM prov.{kind} e"
        self._column = f"e.{near}"
        self._rows = rows
        self._cost = 0
        self._all: Pairs | None = None

    def find(self, keys: Keys) -> Pairs:
        """Return the edges from these keys, which are distinct; each edge once."""
        if not len(keys) or not self._rows:
            return _NONE
        if self._all is None:
            self._cost += cost(len(keys))
            if self._cost < self._rows:
                return _distinct(_pairs(ask_by_keys(self._ask, self._sql, self._column, keys)))
            self._all = _distinct(_pairs([self._ask(self._sql)]))
        return _look_up(self._all, keys)


class Graph:
    """The provenance graph of a store, as far as it is looked at.

    Args:
        ask: runs a query.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._rows: dict[Kind, int] = ask(_COUNTS).to_pylist()[0]
        self._known: dict[tuple[Kind, Direction], Adjacency] = {}

    def edges(self, kind: Kind, direction: Direction) -> Adjacency:
        """Return the edges of a kind, to be looked up in a direction."""
        key = (kind, direction)
        if key not in self._known:
            self._known[key] = Adjacency(self._ask, kind, direction, self._rows[kind])
        return self._known[key]


_EMPTY = np.empty(0, np.int64)
_NONE = Pairs(_EMPTY, _EMPTY)


def _pairs(tables: Iterable[pa.Table]) -> Pairs:
    listed = [[column.to_numpy().astype(np.int64, copy=False) for column in one.columns] for one in tables]
    near, far = (np.concatenate(columns) for columns in zip(*listed, strict=True))
    return Pairs(near, far)


def _distinct(pairs: Pairs) -> Pairs:
    """Return each edge once, ordered by the keys of both ends."""
    order = np.lexsort((pairs.far, pairs.near))
    near, far = pairs.near[order], pairs.far[order]
    is_new = np.ones(len(near), np.bool_)
    is_new[1:] = (near[1:] != near[:-1]) | (far[1:] != far[:-1])
    return Pairs(near[is_new], far[is_new])


def _look_up(pairs: Pairs, keys: Keys) -> Pairs:
    """Return those of ordered edges whose near end is one of some keys."""
    first = np.searchsorted(pairs.near, keys, "left")
    counts = np.searchsorted(pairs.near, keys, "right") - first
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    places = np.repeat(first, counts) + within
    return Pairs(pairs.near[places], pairs.far[places])
