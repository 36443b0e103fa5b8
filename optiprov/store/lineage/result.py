"""A lineage, and how it is found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from optiprov.errors import QueryError
from optiprov.store.frames import to_frame
from optiprov.store.lineage.closure import Walk
from optiprov.store.lineage.graph import Graph
from optiprov.store.lineage.selection import select, to_keys
from optiprov.store.lineage.start import find_start

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    import pyarrow as pa

    from optiprov.store.lineage.closure import Closure
    from optiprov.store.lineage.graph import Direction, Kind
    from optiprov.store.lineage.selection import Ask, Keys

DIRECTIONS = ("up", "down")
_KINDS: tuple[Kind, ...] = ("used", "generated", "derivation", "dependency")
_TASK_COLUMNS = (
    *("task", "run_id", "transformation", "task_id", "status", "started_at", "ended_at", "dataflow", "depth"),
)
_ITEM_COLUMNS = ("item", "item_id", "dataset", "path", "run_id", "depth")
_TASKS = """
    SELECT t.task, t.run_id, t.transformation, t.task_id, t.status, t.started_at, t.ended_at, t.dataflow,
           b.arrival
    FROM prov.task t LEFT JOIN prov.task_begin b ON b.task = t.task"""
_ITEMS = """
    SELECT i.item, i.item_id, i.dataset_key, d.dataset, i.run_id
    FROM prov.item i LEFT JOIN prov.dataset d ON d.dataset_key = i.dataset_key"""
_CLIENT_AND_NUMBER = r"(?s)^(.*?)(?::(\d{1,18}))?$"  # of an item's id, for the order
_FILES = "SELECT f.item, f.path FROM prov.file f"
_COUNTS = """
    SELECT (SELECT count(*) FROM prov.task_begin) + (SELECT count(*) FROM prov.task_end) AS tasks,
           (SELECT count(*) FROM prov.item) AS items, (SELECT count(*) FROM prov.file) AS files"""
_TRANSFORMATIONS = """
    SELECT transformation FROM prov.task_begin UNION SELECT transformation FROM prov.task_end
    UNION SELECT transformation FROM prov.transformation"""
_OF_TRANSFORMATIONS = """
    SELECT task FROM prov.task_begin WHERE transformation IN ({0})
    UNION SELECT task FROM prov.task_end WHERE transformation IN ({0})"""


@dataclass(frozen=True, eq=False, repr=False)
class Lineage:
    """Every task and data item that led to something, or came of it.

    What the store knows from references alone has its key and no more.

    Attributes:
        tasks: `task` (the key of `prov.task`), `run_id`, `transformation`, `task_id`, `status`, `started_at`
            and `ended_at` (UTC), `dataflow`, and `depth`, which says how many tasks it is away from the
            start; by depth, then in the order in which the store learnt of their begins.
        items: `item` (the key of `prov.item`), `item_id`, `dataset`, `path` (of files; of an item with
            several the first by alphabet), `run_id` (of the run that recorded it), and `depth`; by depth,
            dataset and id.
        edges: all edges between them: `from` and `to`, which are keys, and `kind`. They lead from what was
            first to what came of it: from item to task where it was `used`, from task to item where that was
            `generated`, from source to item in a `derivation`, from the task that was waited for to the one
            that waited in a `dependency`.
    """

    tasks: pd.DataFrame
    items: pd.DataFrame
    edges: pd.DataFrame

    def __repr__(self) -> str:
        return f"Lineage({len(self.tasks)} tasks, {len(self.items)} items, {len(self.edges)} edges)"


def trace(
    ask: Ask, given: Any, direction: str, depth: int | None, stop_at: str | Sequence[str] | None
) -> Lineage:
    """Return a lineage; arguments and errors are those of `Provenance.lineage`, `ask` runs a query."""
    up_or_down = _direction(direction)
    most = _depth(depth)
    stops = _stops(ask, stop_at)
    start = find_start(ask, given)
    closure = Walk(Graph(ask), up_or_down, stops).run(start, most)
    rows = ask(_COUNTS).to_pylist()[0]
    return Lineage(
        _tasks(ask, closure.tasks, rows["tasks"]),
        _items(ask, closure.items, rows["items"], rows["files"]),
        _edges(closure, is_up=up_or_down == "up"),
    )


def _direction(direction: str) -> Direction:
    if direction == "up":
        return "up"
    if direction == "down":
        return "down"
    raise QueryError(f"a direction is {' or '.join(DIRECTIONS)}, got {direction!r}")


def _depth(depth: int | None) -> int | None:
    if depth is not None and (isinstance(depth, bool) or not isinstance(depth, int) or depth < 0):
        raise QueryError(f"a depth is a whole number of tasks from 0 on, got {depth!r}")
    return depth


def _stops(ask: Ask, stop_at: str | Sequence[str] | None) -> frozenset[int]:
    """Return the keys of the tasks of some transformations."""
    names = [stop_at] if isinstance(stop_at, str) else list(stop_at or ())
    if not names:
        return frozenset()
    known = sorted({name for name in ask(_TRANSFORMATIONS).column(0).to_pylist() if name is not None})
    unknown = [name for name in names if name not in known]
    if unknown:
        there = ", ".join(known) or "none"
        raise QueryError(f"the store has no transformation {unknown[0]!r} to stop at; it has {there}.")
    tasks = ask(_OF_TRANSFORMATIONS.format(", ".join("?" * len(names))), [*names, *names])
    return frozenset(tasks.column(0).to_pylist())


def _tasks(ask: Ask, depths: dict[int, int], rows: int) -> pd.DataFrame:
    frame = _described(depths, select(ask, _TASKS, "t.task", to_keys(depths), rows=rows), "task")
    order = ["depth", "arrival", "run_id", "transformation", "task_id", "task"]
    return _ordered(frame, order, "task", _TASK_COLUMNS)


def _items(ask: Ask, depths: dict[int, int], rows: int, files: int) -> pd.DataFrame:
    keys = to_keys(depths)
    frame = _described(depths, select(ask, _ITEMS, "i.item", keys, rows=rows), "item")
    paths = to_frame(select(ask, _FILES, "f.item", keys, rows=files))
    frame = frame.merge(paths.sort_values("path").drop_duplicates("item"), on="item", how="left")
    parts = frame["item_id"].astype("string").str.extract(_CLIENT_AND_NUMBER)
    frame["client"], frame["number"] = parts[0], parts[1].astype("Int64")
    order = ["depth", "dataset_key", "client", "number", "item_id", "item"]
    return _ordered(frame, order, "item", _ITEM_COLUMNS)


def _described(depths: dict[int, int], found: pa.Table, key: str) -> pd.DataFrame:
    """Return one row for each key, or several where that is known several times, with what is known of it."""
    import pandas as pd

    frame = to_frame(found)
    numbers = [name for name in frame.columns if name != key and pd.api.types.is_integer_dtype(frame[name])]
    frame = frame.astype(dict.fromkeys(numbers, "Int64"))  # beside no value, the merge would make floats
    base = pd.DataFrame({key: to_keys(depths), "depth": np.fromiter(depths.values(), np.int64, len(depths))})
    described: pd.DataFrame = base.merge(frame, on=key, how="left")
    return described


def _ordered(frame: pd.DataFrame, order: list[str], key: str, columns: Sequence[str]) -> pd.DataFrame:
    """Return the first row of each key in an order."""
    ordered = frame.sort_values(order, kind="stable", na_position="last").drop_duplicates(key)
    shown: pd.DataFrame = ordered[list(columns)].reset_index(drop=True)
    return shown


def _edges(closure: Closure, *, is_up: bool) -> pd.DataFrame:
    import pandas as pd

    parts: list[tuple[int, Keys, Keys]] = [
        (_KINDS.index(kind), *((pairs.far, pairs.near) if is_up else pairs)) for kind, pairs in closure.edges
    ]
    kinds = np.repeat(
        np.array([kind for kind, _, _ in parts], np.int64),
        np.array([len(one) for _, one, _ in parts], np.int64),
    )
    none = np.empty(0, np.int64)
    first = np.concatenate([none, *(one for _, one, _ in parts)])
    second = np.concatenate([none, *(two for _, _, two in parts)])
    order = np.lexsort((second, first, kinds))
    named = np.array(_KINDS, object)[kinds[order]]
    edges: pd.DataFrame = pd.DataFrame({"from": first[order], "to": second[order], "kind": named})
    return edges
