"""What can be reached in the provenance graph, level by level."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from optiprov.store.lineage.selection import to_keys

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from optiprov.store.lineage.graph import Adjacency, Direction, Graph, Kind, Pairs


class Start(NamedTuple):
    """The keys of tasks and data items that a lineage begins at."""

    tasks: list[int]
    items: list[int]


@dataclass
class Closure:
    """Tasks and data items that were reached.

    Attributes:
        tasks: by key, how many tasks each is away from the start.
        items: the same of data items.
        edges: all edges between them; near is the end on the side of the start.
    """

    tasks: dict[int, int] = field(default_factory=dict)
    items: dict[int, int] = field(default_factory=dict)
    edges: list[tuple[Kind, Pairs]] = field(default_factory=list)


class Walk:
    """One walk through the graph. A task or an item is looked at once, so cycles end.

    A level is a task further than the one before it. A derivation and a dependency stand for the task that
    they went through, or waited for: each leads to the next level.

    Args:
        graph: the graph.
        direction: "up" to what came before, "down" to what came of it.
        stops: keys of tasks that are not walked through, but where the walk begins at them.
    """

    def __init__(self, graph: Graph, direction: Direction, stops: Collection[int]) -> None:
        toward_items: Kind = "used" if direction == "up" else "generated"
        toward_tasks: Kind = "generated" if direction == "up" else "used"
        self._items_of = graph.edges(toward_items, direction)
        self._tasks_of = graph.edges(toward_tasks, direction)
        self._derivation = graph.edges("derivation", direction)
        self._dependency = graph.edges("dependency", direction)
        self._generators = graph.edges("generated", "up")
        self._is_up = direction == "up"
        self._stops = stops
        self._found = Closure()
        self._not_walked: list[tuple[Kind, Pairs]] = []

    def run(self, start: Start, depth: int | None) -> Closure:
        """Return what is reached from the start, at most so many tasks away."""
        found, level = self._found, 0
        tasks = _note(found.tasks, start.tasks, level)
        items = _note(found.items, start.items, level)
        while tasks or items:
            if level and self._stops:
                tasks = self._leave_stops(tasks)
            items += self._reach(found.items, self._items_of, tasks, level)
            if level == depth:
                self._leave(tasks, items)
                break
            level += 1
            further = self._reach(found.tasks, self._tasks_of, items, level)
            further += self._reach(found.tasks, self._dependency, tasks, level)
            items = self._reach_derived(items, level)
            tasks = further
        self._add_inner_edges()
        return found

    def _reach(self, known: dict[int, int], edges: Adjacency, keys: list[int], level: int) -> list[int]:
        """Walk edges, and return what was not known."""
        pairs = edges.find(to_keys(keys))
        if len(pairs.near):
            self._found.edges.append((edges.kind, pairs))
        return _note(known, pairs.far.tolist(), level)

    def _reach_derived(self, items: list[int], level: int) -> list[int]:
        """Walk derivations, but for those of items that a task generated which is not walked through."""
        pairs = self._derivation.find(to_keys(items))
        if self._stops and len(pairs.near):
            derived = pairs.near if self._is_up else pairs.far
            generated = self._generators.find(to_keys(list(dict.fromkeys(derived.tolist()))))
            beyond = set(
                generated.where(task in self._stops for task in generated.far.tolist()).near.tolist()
            )
            self._not_walked.append(("derivation", pairs.where(item in beyond for item in derived.tolist())))
            pairs = pairs.where(item not in beyond for item in derived.tolist())
        self._found.edges.append(("derivation", pairs))
        return _note(self._found.items, pairs.far.tolist(), level)

    def _leave_stops(self, tasks: list[int]) -> list[int]:
        """Return the tasks that are walked through."""
        stops = [task for task in tasks if task in self._stops]
        self._not_walked.append((self._items_of.kind, self._items_of.find(to_keys(stops))))
        self._leave(stops, [])
        return [task for task in tasks if task not in self._stops]

    def _leave(self, tasks: list[int], items: list[int]) -> None:
        """Look up the edges that lead to the next level, without walking them."""
        for edges, keys in (
            (self._dependency, tasks),
            (self._tasks_of, items),
            (self._derivation, items),
        ):
            self._not_walked.append((edges.kind, edges.find(to_keys(keys))))

    def _add_inner_edges(self) -> None:
        """Add the edges that were not walked, and yet are between tasks and items that were reached."""
        found = self._found
        for kind, pairs in self._not_walked:
            leads_to_items = kind in (self._items_of.kind, "derivation")
            known = found.items if leads_to_items else found.tasks
            found.edges.append((kind, pairs.where(key in known for key in pairs.far.tolist())))


def _note(known: dict[int, int], keys: Iterable[int], level: int) -> list[int]:
    """Note at which level keys were reached first, and return those that were not known."""
    new = []
    for key in keys:
        if key not in known:
            known[key] = level
            new.append(key)
    return new
