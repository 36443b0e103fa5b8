"""Which tasks have begun and ended already: what arrives again is told apart without a query."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from typing import TYPE_CHECKING, Literal

import numpy as np

from optiprov.records.identity import number_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from optiprov.store.backend import Backend

Event = Literal["begin", "end"]

_MAX_ENTRIES = 1_000_000
_MANY = 100  # ranges, from which sorting costs less than making room for each


class KnownTasks:
    """The tasks of the runs that are written to, as the one writer of a store knows them.

    A run that is touched for the first time is read from the store; the runs touched least recently are
    forgotten where there are many. After a rollback, `clear`.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._runs: OrderedDict[str, dict[tuple[Event, str], _Ids]] = OrderedDict()

    def clear(self) -> None:
        """Forget all: it is read again from the store."""
        self._runs.clear()

    def forget_old(self) -> None:
        """Forget the runs touched least recently, as many as there are too many; between commits."""
        entries = sum(len(ids) for run in self._runs.values() for ids in run.values())
        while entries > _MAX_ENTRIES and len(self._runs) > 1:
            _, run = self._runs.popitem(last=False)
            entries -= sum(len(ids) for ids in run.values())

    def add(self, event: Event, run_id: str, transformation: str, task_id: str) -> bool:
        """Note an event of a task; False where it is known."""
        return self._ids(event, run_id, transformation).add(task_id)

    def add_numbers(
        self, event: Event, run_id: str, transformation: str, numbers: npt.NDArray[np.int64]
    ) -> bool:
        """Note an event of tasks whose ids are numbers; False, with nothing noted, where one is known."""
        return self._ids(event, run_id, transformation).add_numbers(numbers)

    def _ids(self, event: Event, run_id: str, transformation: str) -> _Ids:
        run = self._runs.get(run_id)
        if run is None:
            run = self._runs[run_id] = self._read(run_id)
        self._runs.move_to_end(run_id)
        ids = run.get((event, transformation))
        if ids is None:
            ids = run[event, transformation] = _Ids()
        return ids

    def _read(self, run_id: str) -> dict[tuple[Event, str], _Ids]:
        run: dict[tuple[Event, str], _Ids] = {}
        rows = self._backend.rows(
            "SELECT 'begin', transformation, task_id FROM prov.task_begin WHERE run_id = ?"
            " UNION ALL SELECT 'end', transformation, task_id FROM prov.task_end WHERE run_id = ?",
            (run_id, run_id),
        )
        for event, transformation, task_id in rows:
            run.setdefault((event, transformation), _Ids()).add(task_id)
        return run


class _Ids:
    """A set of ids in which numbers, mostly given in a row, are kept as ranges."""

    def __init__(self) -> None:
        self._texts: set[str] = set()
        self._firsts: list[int] = []
        self._lasts: list[int] = []

    def __len__(self) -> int:
        return len(self._texts) + len(self._firsts)

    def add(self, task_id: str) -> bool:
        """Add an id; False where it is here."""
        number = number_of(task_id)
        if number is not None:
            return self._add_range(number, number)
        known = task_id in self._texts
        self._texts.add(task_id)
        return not known

    def add_numbers(self, numbers: npt.NDArray[np.int64]) -> bool:
        """Add numbers; False, with nothing added, where one is here or twice among them."""
        ordered = np.sort(numbers)
        steps = np.diff(ordered)
        if len(steps) and steps.min() == 0:
            return False
        breaks = np.flatnonzero(steps > 1)
        firsts = ordered[np.concatenate(([0], breaks + 1))].tolist()
        lasts = ordered[np.concatenate((breaks, [len(ordered) - 1]))].tolist()
        if any(self._overlaps(first, last) for first, last in zip(firsts, lasts, strict=True)):
            return False
        if len(firsts) > _MANY:
            self._firsts = sorted(self._firsts + firsts)  # as no two overlap, so are the pairs
            self._lasts = sorted(self._lasts + lasts)
            return True
        for first, last in zip(firsts, lasts, strict=True):
            self._add_range(first, last)
        return True

    def _overlaps(self, first: int, last: int) -> bool:
        place = bisect_right(self._firsts, last)
        return place > 0 and self._lasts[place - 1] >= first

    def _add_range(self, first: int, last: int) -> bool:
        if self._overlaps(first, last):
            return False
        place = bisect_right(self._firsts, first)
        joins_left = place > 0 and self._lasts[place - 1] == first - 1
        joins_right = place < len(self._firsts) and self._firsts[place] == last + 1
        if joins_left and joins_right:
            self._lasts[place - 1] = self._lasts.pop(place)
            self._firsts.pop(place)
        elif joins_left:
            self._lasts[place - 1] = last
        elif joins_right:
            self._firsts[place] = first
        else:
            self._firsts.insert(place, first)
            self._lasts.insert(place, last)
        return True
