"""What a query looks at first: the tasks that a filter on values can be true of.

A condition such as `generated.accuracy > 0.9` is true of few tasks. Their keys come from the one column that
it compares; of the large tables, only rows of these tasks are read. The filter itself is applied afterwards
all the same, so a set that is too large does no harm, and one that is too small must not be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from optiprov.store.attributes import DatasetAttribute, ItemSource
from optiprov.store.schema import ENDED_TASKS, VIEWS

_BEGIN, _END = "narrowed_begin", "narrowed_end"
_IS_NARROWED = "task IN (SELECT task FROM narrowed)"
_MOST_ALTERNATIVES = 16  # of thousands, an engine plans for minutes what it finds in a second
_NEVER_TRUE_OF_NULL = {"$gt", "$gte", "$lt", "$lte", "$like", "$in"}

Compare = Callable[[str, str, str, Any, list[Any]], str]
"""Writes a comparison of a column: (name of the field, column, operator, value, parameters to add to)."""


class Candidates(NamedTuple):
    """A query for the keys of tasks, in a column `task`.

    Attributes:
        sql: the query.
        parameters: its parameters.
        have_ended: whether all of them have ended, as those have that generated something.
    """

    sql: str
    parameters: list[Any]
    have_ended: bool = False

    def tables(self, *, with_begins: bool) -> str:
        """Return the WITH clause of what `tasks` reads, and the candidates as `narrowed`."""
        tables = [f"narrowed AS ({self.sql})"]
        if with_begins or not self.have_ended:
            tables.append(f"{_BEGIN} AS (SELECT * FROM prov.task_begin b WHERE b.{_IS_NARROWED})")
            tables.append(f"{_END} AS (SELECT * FROM prov.task_end e WHERE e.{_IS_NARROWED})")
        return f"WITH {', '.join(tables)} "

    def tasks(self, *, with_begins: bool) -> str:
        """Return what takes the place of the view of tasks.

        Args:
            with_begins: whether what the begins say is needed: host, agent, started_at.
        """
        if self.have_ended and not with_begins:
            return f"SELECT * FROM prov.task_end e WHERE e.{_IS_NARROWED}"
        view = ENDED_TASKS if self.have_ended else VIEWS["task"]
        return view.replace("prov.task_begin", _BEGIN).replace("prov.task_end", _END)


class Narrowing:
    """Finds the candidates of filters that have been checked.

    Args:
        find: returns the side and the attributes that the name of a field stands for; no attributes for a
            field that is not of data items.
        compare: writes a comparison of a column.
        cast: writes an attribute's column as it is compared, beside those of its namesakes.
    """

    def __init__(
        self,
        find: Callable[[str], tuple[str, list[DatasetAttribute]]],
        compare: Compare,
        cast: Callable[[str, Sequence[DatasetAttribute]], str],
    ) -> None:
        self._find = find
        self._compare = compare
        self._cast = cast

    def candidates(self, where: Mapping[str, Any]) -> Candidates | None:
        """Return a query that finds every task the filter can be true of; None where that may be any task."""
        found = [self._candidates(name, condition) for name, condition in where.items()]
        return _combined("INTERSECT", [one for one in found if one is not None])

    def _candidates(self, name: str, condition: Any) -> Candidates | None:
        if name == "$and":
            inner = [self.candidates(part) for part in condition]
            return _combined("INTERSECT", [one for one in inner if one is not None])
        if name == "$or":
            if len(condition) > _MOST_ALTERNATIVES:
                return None
            inner = [self.candidates(part) for part in condition]
            known = [one for one in inner if one is not None]
            return _combined("UNION", known) if len(known) == len(inner) else None
        if name == "$not":
            return None
        compared = condition if isinstance(condition, Mapping) else {"$eq": condition}
        narrowing = [(operator, value) for operator, value in compared.items() if _narrows(operator, value)]
        side, attributes = self._find(name)
        if not narrowing or not attributes:
            return None
        return _combined("UNION", [self._of(name, side, one, attributes, narrowing) for one in attributes])

    def _of(
        self,
        name: str,
        side: str,
        attribute: DatasetAttribute,
        namesakes: Sequence[DatasetAttribute],
        comparisons: Sequence[tuple[str, Any]],
    ) -> Candidates:
        source = ItemSource.of(side, attribute)
        column = self._cast(f"d.{attribute.column}", namesakes)
        parameters: list[Any] = []
        compared = [
            self._compare(name, column, operator, value, parameters) for operator, value in comparisons
        ]
        sql = f"SELECT {source.task} AS task FROM {source.tables} WHERE {' AND '.join(compared)}"
        return Candidates(sql, parameters, have_ended=side == "generated")


def _narrows(operator: str, value: Any) -> bool:
    """Return whether a comparison is never true of an item without the attribute."""
    if operator in ("$eq", "$ne"):
        return value is not None and getattr(value, "text", None) != "null"
    return operator in _NEVER_TRUE_OF_NULL or (operator == "$exists" and bool(value))


def _combined(operator: str, parts: Sequence[Candidates]) -> Candidates | None:
    if len(parts) < 2:
        return parts[0] if parts else None
    selects = [f"SELECT task FROM ({part.sql}) c{number}" for number, part in enumerate(parts)]
    have_ended = (any if operator == "INTERSECT" else all)(part.have_ended for part in parts)
    parameters = [one for part in parts for one in part.parameters]
    return Candidates(f" {operator} ".join(selects), parameters, have_ended=have_ended)
