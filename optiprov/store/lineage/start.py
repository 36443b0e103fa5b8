"""What a lineage begins at: how data items, files and tasks are named, and finding them."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from optiprov.errors import QueryError
from optiprov.records.identity import item_key, task_key
from optiprov.store.lineage.closure import Start
from optiprov.store.lineage.selection import key_list

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import pyarrow as pa

    from optiprov.store.lineage.selection import Ask

_SHOWN = 10
_LOOKED_AT = 1000
_MOST_PARTS = 24  # of a task's name at slashes
# To be selected from with DISTINCT: where a condition is on a UNION, MonetDB 11.41 leaves rows twice.
_TASKS = (
    "(SELECT task, run_id, transformation, task_id FROM prov.task_begin"
    " UNION ALL SELECT task, run_id, transformation, task_id FROM prov.task_end) t"
)
_ACCEPTED = (
    "Give the id of a data item, the path of a file, a task as RUN/TRANSFORMATION/TASK or as a tuple of"
    " these, a row with such columns, or a Data, File or Task object"
)


class TaskName(NamedTuple):
    """A task by its id, and what else is known of it."""

    run_id: str | None
    transformation: str | None
    task_id: str

    @property
    def key(self) -> int | None:
        """The task's key, where its name is whole."""
        if self.run_id is None or self.transformation is None:
            return None
        return task_key(self.run_id, self.transformation, self.task_id)

    def __str__(self) -> str:
        return "/".join(part for part in self if part is not None)


def find_start(ask: Ask, given: Any) -> Start:
    """Return the keys of what is given.

    Args:
        ask: runs a query.
        given: as for `Provenance.lineage`.

    Raises:
        QueryError: the store does not have it, or has several of the name; the message lists candidates.
    """
    return _Finder(ask).find(given)


class _Finder:
    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def find(self, given: Any) -> Start:
        """Return the keys of what is given."""
        if isinstance(given, str):
            return self._named(given)
        if isinstance(given, os.PathLike):
            return self._file(os.fspath(given)) or self._unknown(os.fspath(given))
        fields = _fields(given)
        if fields is not None:
            return self._row(fields)
        if isinstance(given, tuple) and len(given) in (2, 3):
            run_id, *transformation, task_id = map(str, given)
            return self._task(TaskName(run_id, transformation[0] if transformation else None, task_id))
        if hasattr(given, "workflow") and hasattr(given, "transformation"):  # a Task
            return self._task(TaskName(given.workflow.run_id, given.transformation, given.id))
        if hasattr(given, "dataset") and hasattr(given, "id"):  # a Data or a File
            return self._item(str(given.id)) or self._unknown(str(given.id))
        raise QueryError(f"no lineage begins at {given!r:.200}. {_ACCEPTED}.")

    def _named(self, text: str) -> Start:
        """Find what a text names: the id of an item goes first, then a path, then a task."""
        return (
            self._item(text)
            or self._file(text)
            or self._whole_task(text)
            or self._one_of(text, self._tasks_like(text))
            or self._unknown(text)
        )

    def _row(self, fields: Mapping[str, Any]) -> Start:
        """Find what a row stands for, such as one of `tasks(run)`, of a lineage, or of a dataset's view.

        Keys go first: a row of a view has the item's, and may have attributes of any name.
        """
        for column in ("item", "task"):
            if column in fields:
                return self._keyed(column, fields[column])
        named = {column: str(value) for column, value in fields.items()}
        if "item_id" in named:
            return self._item(named["item_id"]) or self._unknown(named["item_id"])
        if "task_id" in named:
            return self._task(TaskName(named.get("run_id"), named.get("transformation"), named["task_id"]))
        raise QueryError(
            f"a row with values of {', '.join(map(str, fields)) or 'nothing'} names no task or data item: it"
            " needs item, task, item_id, or task_id with run_id and transformation."
        )

    def _keyed(self, column: str, value: Any) -> Start:
        try:
            key = int(value)
        except (TypeError, ValueError) as error:
            raise QueryError(f"the {column} of a row is a key, a whole number, got {value!r}") from error
        if column == "item" and self._is_item(key):
            return Start([], [key])
        if column == "task" and self._existing([key]):
            return Start([key], [])
        raise QueryError(f"the store has no {column} with the key {key}.")

    def _item(self, item_id: str) -> Start | None:
        key = item_key(item_id)
        return Start([], [key]) if self._is_item(key) else None

    def _is_item(self, key: int) -> bool:
        """Whether an item is recorded, or at least referred to."""
        places = (
            ("item", "item"),
            ("used", "item"),
            ("generated", "item"),
            ("derivation", "item"),
            ("derivation", "source"),
        )
        counts = [f"(SELECT count(*) FROM prov.{table} WHERE {column} = ?)" for table, column in places]
        return self._rows(f"SELECT {' + '.join(counts)} AS found", [key] * len(places)) != [(0,)]

    def _file(self, path: str) -> Start | None:
        """Find all versions of a file: with this path, or with that which it has from here."""
        for written in dict.fromkeys((path, os.path.abspath(path))):  # noqa: PTH100 - as `File` does
            found = self._rows("SELECT DISTINCT item FROM prov.file WHERE path = ? ORDER BY item", [written])
            if found:
                return Start([], [item for (item,) in found])
        return None

    def _whole_task(self, text: str) -> Start | None:
        """Find RUN/TRANSFORMATION/TASK, of which any may have slashes in it."""
        parts = text.split("/")
        if not 3 <= len(parts) <= _MOST_PARTS:
            return None
        names = [
            TaskName("/".join(parts[:one]), "/".join(parts[one:other]), "/".join(parts[other:]))
            for one, other in combinations(range(1, len(parts)), 2)
        ]
        found = self._existing([name.key for name in names if name.key is not None])
        return Start(found, []) if found else None

    def _existing(self, keys: Sequence[int]) -> list[int]:
        wanted = key_list(keys)
        sql = " UNION ALL ".join(
            f"SELECT task FROM prov.{table} WHERE task IN {wanted}" for table in ("task_begin", "task_end")
        )
        return sorted({task for (task,) in self._rows(sql)})

    def _tasks_like(self, text: str) -> list[tuple[int, TaskName]]:
        """Return tasks that are named by their id alone, or by it behind their run or transformation."""
        conditions, parameters = ["t.task_id = ?"], [text]
        parts = text.split("/")
        for place in range(1, min(len(parts), _MOST_PARTS)):
            before, task_id = "/".join(parts[:place]), "/".join(parts[place:])
            conditions.append("(t.task_id = ? AND (t.run_id = ? OR t.transformation = ?))")
            parameters += [task_id, before, before]
        return self._tasks(conditions, parameters, " OR ")

    def _task(self, name: TaskName) -> Start:
        key = name.key
        if key is not None:
            return Start([key], []) if self._existing([key]) else self._unknown(str(name))
        known = {column: value for column, value in name._asdict().items() if value is not None}
        found = self._tasks([f"t.{column} = ?" for column in known], list(known.values()), " AND ")
        return self._one_of(str(name), found) or self._unknown(str(name))

    def _tasks(
        self, conditions: Sequence[str], parameters: Sequence[str], joined_by: str
    ) -> list[tuple[int, TaskName]]:
        rows = self._rows(
            f"SELECT DISTINCT task, run_id, transformation, task_id FROM {_TASKS}"
            f" WHERE {joined_by.join(conditions)}"
            f" ORDER BY run_id, transformation, task_id LIMIT {_SHOWN + 1}",
            parameters,
        )
        return [(task, TaskName(*name)) for task, *name in rows]

    def _one_of(self, text: str, found: Sequence[tuple[int, TaskName]]) -> Start | None:
        if len(found) > 1:
            names = [name for _, name in found[:_SHOWN]]
            trials = self._trials({name.run_id for name in names if name.run_id is not None})
            listed = ", ".join(
                f"{name} (trial {trials[name.run_id]})" if name.run_id in trials else str(name)
                for name in names
            )
            more = " and more" if len(found) > _SHOWN else ""
            raise QueryError(f"{text!r} names several tasks: {listed}{more}. Say which one.")
        return Start([found[0][0]], []) if found else None

    def _trials(self, runs: Collection[str]) -> dict[str | None, str]:
        """Return the trials of those of the runs that have one."""
        places = ", ".join("?" * len(runs))
        sql = f"SELECT run_id, trial_id FROM prov.run WHERE trial_id IS NOT NULL AND run_id IN ({places})"
        return dict(self._rows(sql, sorted(runs))) if runs else {}

    def _unknown(self, text: str) -> NoReturn:
        """Say that there is no such thing, with what is like it; otherwise with some of what there is."""
        paths = self._some("path", "prov.file")
        items = self._some("item_id", "prov.item")
        names = [
            TaskName(*name)
            for name in self._rows(
                f"SELECT DISTINCT run_id, transformation, task_id FROM {_TASKS}"
                f" ORDER BY run_id, transformation, task_id LIMIT {_LOOKED_AT}"
            )
        ]
        tasks = list(map(str, names))
        # By their ends too: whoever types them leaves directories and runs out.
        meant = {os.path.basename(path): path for path in paths}  # noqa: PTH119 - they need not be paths here
        meant |= {str(name._replace(run_id=None)): str(name._replace(run_id=None)) for name in names}
        meant |= {one: one for one in (*paths, *items, *tasks)}
        close = dict.fromkeys(meant[one] for one in difflib.get_close_matches(text, meant, n=_SHOWN))
        hint = f"Did you mean {' or '.join(map(repr, close))}?"
        if not close:
            there = {"files": paths, "data items": items, "tasks": tasks}
            listed = [f"{what} such as {', '.join(some[:3])}" for what, some in there.items() if some]
            hint = f"It has {'; '.join(listed) or 'nothing'}."
        raise QueryError(f"the store has no data item, file or task {text!r}. {hint}")

    def _some(self, column: str, table: str) -> list[str]:
        rows = self._rows(
            f"SELECT DISTINCT {column} FROM {table} WHERE {column} IS NOT NULL"
            f" ORDER BY {column} LIMIT {_LOOKED_AT}"
        )
        return [value for (value,) in rows]

    def _rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        table: pa.Table = self._ask(sql, parameters)
        return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def _fields(given: Any) -> dict[str, Any] | None:
    """Return the values of a row (a mapping, a row of pandas, a named tuple) by column, without NULLs."""
    import pandas as pd

    if hasattr(given, "_asdict"):
        given = given._asdict()
    elif hasattr(given, "to_dict") and getattr(given, "ndim", 0) == 1:
        given = given.to_dict()
    if not isinstance(given, Mapping):
        return None
    return {
        column: value
        for column, value in given.items()
        if not (pd.api.types.is_scalar(value) and pd.isna(value))
    }
