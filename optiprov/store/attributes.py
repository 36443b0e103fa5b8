"""Which attributes the datasets of a store have, and where a query finds the items of tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Fetch = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]


@dataclass(frozen=True)
class DatasetAttribute:
    """Where the values of an attribute are.

    Attributes:
        dataflow: of its dataset.
        dataset: name of its dataset.
        dataset_key: of its dataset, whose table is `dataset.d<key>`.
        name: its own.
        column: its column in the dataset's table.
        kind: its type.
        sides: "used" and "generated", as tasks use or generate items of the dataset.
        direct_sides: those of the sides on which the dataset's table itself has the task of each item.
    """

    dataflow: str
    dataset: str
    dataset_key: int
    name: str
    column: str
    kind: str
    sides: frozenset[str]
    direct_sides: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ItemSource:
    """The items of a dataset that tasks use or generate, as the FROM of a query.

    Attributes:
        tables: the FROM; the dataset's table has the alias `d`.
        task: the column with the task.
    """

    tables: str
    task: str

    @classmethod
    def of(cls, side: str, attribute: DatasetAttribute) -> ItemSource:
        """Return where the items of an attribute's dataset are that tasks have on one side.

        A row of the dataset has the task that came with the item. That is all there is, unless a task refers
        to an item that another one has: then the edges tell.
        """
        table = f"dataset.d{attribute.dataset_key} d"
        if side in attribute.direct_sides:
            return cls(table, "d.task")
        return cls(f"prov.{side} e JOIN {table} ON d.item = e.item", "e.task")


def read_attributes(fetch: Fetch) -> list[DatasetAttribute]:
    """Read from the store which attributes its datasets have, and which side of tasks they are on."""
    names: dict[int, tuple[str, str]] = {}
    uses: dict[int, set[tuple[str, bool]]] = {}
    found: list[tuple[int, str, int, str]] = []
    for part, key, position, name, kind in fetch(_ATTRIBUTES, ()):
        if part == "dataset":
            names[key] = (kind, name)
        elif part == "use":
            uses.setdefault(key, set()).add((name, position == 1))
        else:
            found.append((key, name, position, kind))
    sides = {key: frozenset(role for role, _ in uses.get(key, ())) for key in names}
    direct = {key: _direct_sides(uses.get(key, set())) for key in names}
    return [
        DatasetAttribute(*names[key], key, name, f"a{position}", kind, sides[key], direct[key])
        for key, name, position, kind in sorted(found, key=lambda one: (one[0], one[2]))
    ]


# One query in place of three, or of joins: what it costs is the engine's planning.
_ATTRIBUTES = """
    SELECT 'dataset' AS part, dataset_key, 0 AS position, dataset AS name, dataflow AS kind FROM prov.dataset
    UNION ALL
    SELECT 'use', dataset_key, CASE WHEN is_reference THEN 1 ELSE 0 END, role, '' FROM prov.dataset_use
    UNION ALL
    SELECT 'attribute', dataset_key, position, attribute, type FROM prov.attribute"""


def _direct_sides(uses: set[tuple[str, bool]]) -> frozenset[str]:
    """Return the side of whole items, if it is one, and if no task refers to them on that side."""
    whole = {role for role, is_reference in uses if not is_reference}
    referred = {role for role, is_reference in uses if is_reference}
    return frozenset(whole - referred) if len(whole) == 1 else frozenset()
