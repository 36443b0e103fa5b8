"""The query API: projection, filter, aggregation, sort and limit over tasks, compiled to SQL.

A row is a task with the data items that it used and generated: a task that generated three items of a
dataset that is asked for has three rows. Fields are `task.*`, `run.*`, `trial.*`, and `used.<attribute>` and
`generated.<attribute>` of those items; `used.<dataset>.<attribute>` where several datasets have an attribute
of that name, of which otherwise the first that has a value is shown.
"""

from __future__ import annotations

import datetime
import difflib
import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from optiprov.errors import QueryError
from optiprov.records import Status
from optiprov.store.arguments import read_limit, read_names, read_pairs, read_time
from optiprov.store.attributes import DatasetAttribute, ItemSource
from optiprov.store.backend import quote_name
from optiprov.store.conditions import OPERATORS, Literal
from optiprov.store.fields import ALIASES, ALWAYS_SHOWN, FIELDS, KINDS, SAID_BY_BEGINS, hint
from optiprov.store.narrowing import Candidates, Narrowing

if TYPE_CHECKING:
    import pyarrow as pa

Filter = Mapping[str, Any]

_OPERATORS = (*OPERATORS, "$exists", "$not")
AGGREGATES = {"min": "min", "max": "max", "avg": "avg", "sum": "sum", "count": "count", "std": "stddev_samp"}
_OF_NUMBERS = ("avg", "sum", "std")
_DIRECTIONS = {"ascending": "ASC", "descending": "DESC"}
_SAID_AT_BEGIN = {"dataflow", "trial_id", "study", "campaign", "agent", "host", "pid", "started_at"}
_SIDES = ("used", "generated")
_ARITHMETIC = {"integer", "double", "boolean"}
_STATUSES = (Status.RUNNING, *Status.ENDS)


@dataclass
class Compiled:
    """A query as SQL and its parameters.

    Attributes:
        sql: one SELECT.
        parameters: for its `?`, in order.
        optional: columns that are shown only where a row has a value.
    """

    sql: str
    parameters: list[Any] = field(default_factory=list)
    optional: frozenset[str] = frozenset()

    def shown(self, rows: pa.Table) -> pa.Table:
        """Return the answer without the optional columns in which no row has a value."""
        kept = [
            place
            for place, name in enumerate(rows.column_names)
            if name not in self.optional or rows.column(place).null_count < len(rows)
        ]
        return rows.select(kept)


class Compiler:
    """Compiles one query against the attributes that a store has.

    Args:
        attributes: what `read_attributes` returned.
    """

    def __init__(self, attributes: Iterable[DatasetAttribute]) -> None:
        self._attributes = list(attributes)
        self._fields: dict[str, str] = {}
        self._joined: dict[tuple[str, int], ItemSource] = {}  # by side and dataset

    def compile(
        self,
        projection: Sequence[str] | None,
        where: Filter | None,
        aggregation: Sequence[tuple[str, str]] | None,
        sort: Sequence[tuple[str, str]] | None,
        limit: int | None,
        *,
        held: Collection[int] | None = None,
    ) -> Compiled:
        """Compile a query.

        Args:
            projection: fields to show; by default what `ALWAYS_SHOWN` has, and the attributes of which a row
                has a value or that the filter or the sort names.
            where: the filter.
            aggregation: pairs of function and field.
            sort: pairs of field and direction.
            limit: the most rows.
            held: by default, show no attributes but those of these datasets; None for all.

        Raises:
            QueryError: an unknown field, operator, aggregate or direction; the message lists what there is.
        """
        pairs = read_pairs(aggregation, "an aggregation", "(function, field)")
        asked = read_names(projection)
        shown = asked or ([] if pairs else list(ALWAYS_SHOWN))
        shown_parameters: list[Any] = []
        sorted_parameters: list[Any] = []
        aggregates = dict(self._aggregate(*pair, shown_parameters) for pair in pairs)
        aggregated = {pair[1] for pair in pairs}
        groups = [name for name in shown if name not in aggregated] if aggregates else []
        plain = groups if aggregates else shown
        selected = [f"{self._field(name)} AS {quote_name(name)}" for name in plain]
        selected += [f"{sql} AS {quote_name(name)}" for name, sql in aggregates.items()]
        parameters: list[Any] = []
        condition = self._filter(where or {}, parameters)
        candidates = Narrowing(self._attributes_of, self._compare_column, _cast).candidates(where or {})
        order = [
            self._sort(name, direction, groups, aggregates, sorted_parameters)
            for name, direction in read_pairs(sort, "a sort", "(field, direction)")
        ]
        optional: dict[str, str] = {}
        if not asked and not pairs:
            named = set(self._fields)
            attributes = dict(self._held_fields(held, named))
            selected += [f"{sql} AS {quote_name(name)}" for name, sql in attributes.items()]
            optional = {name: sql for name, sql in attributes.items() if name not in named}
        sql = f"SELECT {', '.join(selected)} FROM {self._from(candidates)} WHERE {condition}"
        if groups:
            sql += " GROUP BY " + ", ".join(self._field(name) for name in groups)
        if order:
            sql += " ORDER BY " + ", ".join(order)
        if limit is not None:
            sql += f" LIMIT {read_limit(limit)}"
        parameters = shown_parameters + parameters + sorted_parameters
        if candidates is not None:
            tables = candidates.tables(with_begins=self._shows_begins())
            sql, parameters = tables + sql, candidates.parameters + parameters
        return Compiled(sql, parameters, frozenset(optional))

    def compile_held(self, where: Filter) -> Compiled:
        """Compile the question which datasets the tasks that a filter is true of have items of: their keys.

        Raises:
            QueryError: as for `compile`.
        """
        parameters: list[Any] = []
        condition = self._filter(where, parameters)
        candidates = Narrowing(self._attributes_of, self._compare_column, _cast).candidates(where)
        tables, before = "WITH ", []
        if candidates is not None:
            tables = candidates.tables(with_begins=self._shows_begins()).rstrip() + ", "
            before = candidates.parameters
        matching = f"SELECT DISTINCT t.task AS task FROM {self._from(candidates)} WHERE {condition}"
        edges = " UNION ALL ".join(
            f"SELECT e.item FROM prov.{side} e WHERE e.task IN (SELECT task FROM matching)" for side in _SIDES
        )
        return Compiled(
            f"{tables}matching AS ({matching})"
            f" SELECT DISTINCT i.dataset_key FROM ({edges}) h JOIN prov.item i ON i.item = h.item",
            before + parameters,
        )

    def _held_fields(self, held: Collection[int] | None, named: Collection[str]) -> Iterator[tuple[str, str]]:
        """Yield fields and columns: the attributes of datasets that are held, and those that are named."""
        for side in _SIDES:
            here = [a for a in self._attributes if side in a.sides]
            of_held = [a for a in here if held is None or a.dataset_key in held]
            for name in dict.fromkeys(a.name for a in here):
                namesakes = [a for a in of_held if a.name == name]
                if namesakes or f"{side}.{name}" in named:
                    yield f"{side}.{name}", self._columns(side, namesakes or self._find(side, name))

    def _field(self, name: str) -> str:
        if name not in self._fields:
            self._fields[name] = self._resolve(ALIASES.get(name, name))
        return self._fields[name]

    def _resolve(self, name: str) -> str:
        group, _, rest = name.partition(".")
        if group == "task" and rest in FIELDS["task"]:
            return (
                "date_diff('microsecond', t.started_at, t.ended_at) / 1e6"
                if rest == "duration_s"
                else f"t.{rest}"
            )
        if group == "run" and rest in FIELDS["run"]:
            return f"r.{rest}"
        if group == "trial" and rest in FIELDS["trial"]:
            return "r.trial_id" if rest == "trial_id" else f"i.{rest}"
        found = self._find(group, rest)
        if not found:
            raise QueryError(self._unknown(name))
        return self._columns(group, found)

    def _columns(self, side: str, namesakes: Sequence[DatasetAttribute]) -> str:
        """Return the column of an attribute; of several with one name, the first that has a value."""
        columns = [_cast(f"{self._alias(side, a)}.{a.column}", namesakes) for a in namesakes]
        return columns[0] if len(columns) == 1 else f"COALESCE({', '.join(columns)})"

    def _find(self, side: str, rest: str) -> list[DatasetAttribute]:
        here = [a for a in self._attributes if side in a.sides]
        named = [a for a in here if a.name == rest]
        return named or [a for a in here if f"{a.dataset}.{a.name}" == rest]

    def _attributes_of(self, name: str) -> tuple[str, list[DatasetAttribute]]:
        side, _, rest = ALIASES.get(name, name).partition(".")
        return side, self._find(side, rest)

    def _alias(self, side: str, attribute: DatasetAttribute) -> str:
        self._joined.setdefault((side, attribute.dataset_key), ItemSource.of(side, attribute))
        return f"{side}_{attribute.dataset_key}"

    def _unknown(self, name: str) -> str:
        groups = {side: self._attribute_names(side) for side in _SIDES} | FIELDS
        suggested = hint(name, groups)
        lines = [f"  {group}: {', '.join(names) or '(none)'}" for group, names in groups.items()]
        lines.append(f"  for short: {', '.join(ALIASES)}")
        return "\n".join([f"unknown field {name!r}.{suggested} There are:", *lines])

    def _attribute_names(self, side: str) -> tuple[str, ...]:
        """The attributes of a side; those of several datasets also with their dataset."""
        here = [a for a in self._attributes if side in a.sides]
        counts = Counter(a.name for a in here)
        qualified = [f"{a.dataset}.{a.name}" for a in here if counts[a.name] > 1]
        return tuple(dict.fromkeys([a.name for a in here] + qualified))

    def _kind(self, name: str) -> str | None:
        group, _, rest = ALIASES.get(name, name).partition(".")
        if (group, rest) in KINDS:
            return KINDS[group, rest]
        kinds = {a.kind for a in self._find(group, rest)}
        if not kinds:
            return "text"
        if len(kinds) == 1:
            return kinds.pop()
        return None if kinds <= _ARITHMETIC else "text"

    def _filter(self, where: Any, parameters: list[Any]) -> str:
        if not isinstance(where, Mapping):
            raise QueryError(f"a filter is a mapping of fields to conditions, got {where!r}")
        parts = []
        for name, condition in where.items():
            if name in ("$and", "$or"):
                if not isinstance(condition, (list, tuple)):
                    raise QueryError(f"{name} takes a list of filters, got {condition!r}")
                joined = f" {name[1:].upper()} ".join(
                    f"({self._filter(part, parameters)})" for part in condition
                )
                parts.append(f"({joined})" if joined else "TRUE")
            elif name == "$not":
                parts.append(f"NOT ({self._filter(condition, parameters)})")
            elif str(name).startswith("$"):
                raise QueryError(
                    f"unknown operator {name!r}; there are $and, $or, $not, {', '.join(_OPERATORS)}"
                )
            else:
                parts.append(self._condition(name, condition, parameters))
        return " AND ".join(parts) or "TRUE"

    def _condition(self, name: str, condition: Any, parameters: list[Any]) -> str:
        if not isinstance(condition, Mapping):
            condition = {"$eq": condition}
        column = self._field(name)
        compared = (
            self._compare_column(name, column, operator, value, parameters)
            for operator, value in condition.items()
        )
        return " AND ".join(compared) or "TRUE"

    def _compare_column(
        self, name: str, column: str, operator: str, value: Any, parameters: list[Any]
    ) -> str:
        if operator == "$exists":
            return f"{column} IS {'NOT ' if value else ''}NULL"
        if operator == "$not":
            return f"NOT ({self._condition(name, value, parameters)})"
        if operator == "$in":
            if not isinstance(value, (list, tuple, set, frozenset)):
                raise QueryError(f"$in takes a list of values, got {value!r}")
            values = [self._read(name, one) for one in value]
            for one in values:
                self._check_type(name, one)
                self._check_status(name, one)
            parameters += values
            return f"{column} IN ({', '.join('?' * len(values))})" if values else "FALSE"
        if operator not in OPERATORS:
            raise QueryError(f"unknown operator {operator!r}; there are {', '.join(_OPERATORS)}")
        if operator != "$like":
            value = self._read(name, value)
        if value is None and operator in ("$eq", "$ne"):
            return f"{column} IS NULL" if operator == "$eq" else f"{column} IS NOT NULL"
        if operator == "$like":
            return self._like(name, column, value, parameters)
        self._check_type(name, value)
        if operator in ("$eq", "$ne"):
            self._check_status(name, value)
        parameters.append(value)
        compared = f"{column} {'<>' if operator == '$ne' else OPERATORS[operator].upper()} ?"
        if operator in ("$gt", "$gte") and self._may_be_nan(name):
            parameters.append(math.nan)  # to DuckDB it is greater than all others; MonetDB has NULL for it
            return f"({compared} AND COALESCE({column} <> ?, TRUE))"
        return compared

    def _like(self, name: str, column: str, pattern: Any, parameters: list[Any]) -> str:
        pattern = pattern.text if isinstance(pattern, Literal) else pattern
        if not isinstance(pattern, str):
            raise QueryError(f"$like takes a pattern such as 'adam%', got {pattern!r}")
        if self._kind(name) not in ("text", "json"):
            raise QueryError(f"{name} is {self._kind(name) or 'of several types'}; patterns are for text")
        parameters.append(pattern)
        return f"{column} LIKE ?"

    def _may_be_nan(self, name: str) -> bool:
        side = ALIASES.get(name, name).partition(".")[0]
        return side in _SIDES and self._kind(name) in ("double", None)

    def _number(self, name: str, parameters: list[Any]) -> str:
        """Return the column of a field, in which NaN is no value: it is greater than all others to DuckDB."""
        column = self._field(name)
        if not self._may_be_nan(name):
            return column
        parameters.append(math.nan)
        return f"NULLIF({column}, ?)"

    def _read(self, name: str, value: Any) -> Any:
        kind = self._kind(name)
        read = value.as_kind(kind) if isinstance(value, Literal) else value
        return read_time(name, read) if kind == "timestamp" and isinstance(read, str) else read

    @staticmethod
    def _check_status(name: str, value: Any) -> None:
        group, _, rest = ALIASES.get(name, name).partition(".")
        if group in FIELDS and rest == "status" and value not in _STATUSES:
            close = difflib.get_close_matches(str(value), _STATUSES, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise QueryError(f"no {name} can be {value!r}.{hint} There are {', '.join(_STATUSES)}.")

    def _check_type(self, name: str, value: Any) -> None:
        kind = self._kind(name)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        fits = {
            "integer": is_number,
            "double": is_number,
            "boolean": isinstance(value, bool),
            "timestamp": isinstance(value, datetime.datetime),
            "text": isinstance(value, str),
            "json": isinstance(value, str),
        }
        if not fits.get(kind or "", isinstance(value, (str, int, float, datetime.datetime))):
            raise QueryError(f"{name} is {kind or 'of several types'}, it cannot be compared with {value!r}")

    def _aggregate(self, function: str, name: str, parameters: list[Any]) -> tuple[str, str]:
        if function not in AGGREGATES:
            raise QueryError(f"unknown aggregation {function!r}; there are {', '.join(AGGREGATES)}")
        column, kind = self._number(name, parameters), self._kind(name)
        if function in _OF_NUMBERS and kind not in (None, *_ARITHMETIC):
            raise QueryError(f"{function} is for numbers, {name} is {kind}; min, max and count take anything")
        return f"{function}({name})", f"{AGGREGATES[function]}({column})"

    def _sort(
        self,
        name: str,
        direction: str,
        groups: list[str],
        aggregates: Mapping[str, str],
        parameters: list[Any],
    ) -> str:
        if direction not in _DIRECTIONS:
            raise QueryError(f"a sort is {' or '.join(_DIRECTIONS)}, got {direction!r}")
        if name in aggregates:
            column = quote_name(name)
        elif aggregates and name not in groups:
            self._field(name)
            raise QueryError(
                f"rows are groups, which have no {name!r}: sort by {', '.join([*groups, *aggregates])}"
            )
        else:
            column = self._field(name) if aggregates else self._number(name, parameters)
        return f"{column} {_DIRECTIONS[direction]} NULLS LAST"

    def _shows_begins(self) -> bool:
        """Return whether a field is asked for that only the begins of tasks have."""
        return any(f"t.{name}" in column for column in self._fields.values() for name in SAID_BY_BEGINS)

    def _from(self, candidates: Candidates | None) -> str:
        joined = "prov.task t"
        if candidates is not None:
            joined = f"({candidates.tasks(with_begins=self._shows_begins())}) t"
        columns = [column for column in self._fields.values() if column.startswith(("r.", "i."))]
        if columns:
            needed = {column[2:] for column in columns if column.startswith("r.")}
            joined += f" LEFT JOIN {_runs(needed)} r ON r.run_id = t.run_id"
        if any(column.startswith("i.") for column in columns):
            joined += " LEFT JOIN prov.trial i ON i.trial_id = r.trial_id AND i.study = r.study"
        for (side, key), source in self._joined.items():
            alias = f"{side}_{key}"
            # What the engine infers from the join, it does not infer through the edges.
            wanted = (
                f" WHERE {source.task} IN (SELECT task FROM narrowed)"
                if candidates is not None and source.task.startswith("e.")
                else ""
            )
            joined += (
                f" LEFT JOIN (SELECT {source.task} AS by_task, d.* FROM {source.tables}{wanted}) {alias}"
                f" ON {alias}.by_task = t.task"
            )
        return joined


def _runs(needed: set[str]) -> str:
    """Return the runs; where it suffices, from their begins alone, which spares what tells their ends."""
    if not needed - {"run_id"} <= _SAID_AT_BEGIN:
        return "prov.run"
    columns = ", ".join(f"min({name}) AS {name}" for name in sorted(_SAID_AT_BEGIN))
    return f"(SELECT run_id, {columns} FROM prov.run_begin GROUP BY run_id)"


def _cast(column: str, namesakes: Sequence[DatasetAttribute]) -> str:
    """Return a column as it is compared: as text, where attributes of this name are of unlike types."""
    kinds = {attribute.kind for attribute in namesakes}
    return f"CAST({column} AS TEXT)" if len(kinds) > 1 and not kinds <= _ARITHMETIC else column
