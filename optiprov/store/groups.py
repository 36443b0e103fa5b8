"""Groups of rows of one shape, read column by column: rows as JSON, and packed ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from optiprov.wire import END, LISTED, unpack

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from optiprov.store.items import Column
    from optiprov.wire import Header, Shape


class Unfit(Exception):
    """Rows are not all of the usual form: they go the way of single records."""


class Fields(NamedTuple):
    """What a group of rows says, column by column.

    Attributes:
        numbers: the ids of the tasks.
        times: when they began or ended, in microseconds since the epoch.
        dependencies: for each task that has some, its place and the ids.
        items: for each data item of the shape, the numbers that the client gave, and the values by name.
    """

    numbers: npt.NDArray[np.int64]
    times: npt.NDArray[np.int64]
    dependencies: list[tuple[int, list[str]]]
    items: list[tuple[npt.NDArray[np.int64], dict[str, Column]]]


class Group(ABC):
    """Rows of one shape that one client sent."""

    def __init__(self, header: Header, shape: Shape) -> None:
        self.header = header
        self.shape = shape

    @property
    @abstractmethod
    def sequences(self) -> Sequence[int]:
        """The rows' sequence numbers."""

    @property
    @abstractmethod
    def places(self) -> npt.NDArray[np.int64]:
        """Their places in the commit."""

    @abstractmethod
    def fields(self) -> Fields:
        """Return the rows as columns.

        Raises:
            Unfit: a row does not fit the shape, or has ids or times of an unusual form.
        """

    @abstractmethod
    def rows(self) -> list[list[Any]]:
        """Return the rows as `optiprov.wire.expand` takes them."""


class ListedGroup(Group):
    """Rows that are lists, as they came as JSON."""

    def __init__(self, header: Header, shape: Shape) -> None:
        super().__init__(header, shape)
        self._rows: list[list[Any]] = []
        self._sequences: list[int] = []
        self._places: list[int] = []

    def add(self, row: list[Any], sequence: int, place: int) -> None:
        """Add a row."""
        self._rows.append(row)
        self._sequences.append(sequence)
        self._places.append(place)

    @property
    def sequences(self) -> Sequence[int]:
        """The rows' sequence numbers."""
        return self._sequences

    @property
    def places(self) -> npt.NDArray[np.int64]:
        """Their places in the commit."""
        return np.array(self._places, np.int64)

    def rows(self) -> list[list[Any]]:
        """Return the rows."""
        return self._rows

    def fields(self) -> Fields:
        """Return the rows as columns."""
        shape = self.shape
        if any(len(row) != shape.width for row in self._rows):
            raise Unfit
        columns = list(zip(*self._rows, strict=True))
        items = []
        at = shape.first_item
        for item in shape.items:
            values: dict[str, Column] = dict(zip(item.attributes, columns[at + 1 :], strict=False))
            items.append((_integers(columns[at]), values))
            at += 1 + len(values)
        dependencies = [] if shape.kind == END else _dependencies(columns[3])
        return Fields(_integers(columns[1]), _integers(columns[2]), dependencies, items)


class PackedGroup(Group):
    """Packed rows, words beside words."""

    def __init__(self, header: Header, shape: Shape) -> None:
        super().__init__(header, shape)
        self._parts: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]] = []

    def add(
        self, words: npt.NDArray[np.int64], sequences: npt.NDArray[np.int64], places: npt.NDArray[np.int64]
    ) -> None:
        """Add rows: the words of their slots, their sequence numbers and their places in the commit."""
        self._parts.append((words, sequences, places))

    def _joined(self, which: int) -> npt.NDArray[np.int64]:
        return np.concatenate([part[which] for part in self._parts])

    @property
    def sequences(self) -> Sequence[int]:
        """The rows' sequence numbers."""
        listed: list[int] = self._joined(1).tolist()
        return listed

    @property
    def places(self) -> npt.NDArray[np.int64]:
        """Their places in the commit."""
        return self._joined(2)

    def rows(self) -> list[list[Any]]:
        """Return the rows, unpacked."""
        return [unpack(self.shape, words.tobytes()) for words in self._joined(0)]

    def fields(self) -> Fields:
        """Return the rows as columns."""
        task_ids, times_ns, items, *values = np.ascontiguousarray(self._joined(0).T)
        (item,), codes = self.shape.items, self.shape.codes or ""
        columns: dict[str, Column] = {
            name: column.view(np.float64) if code == "d" else column
            for name, code, column in zip(item.attributes, codes.lstrip(LISTED), values, strict=False)
        }
        return Fields(task_ids, times_ns // 1000, [], [(items, columns)])


def _integers(values: Sequence[Any]) -> npt.NDArray[np.int64]:
    try:
        array = pa.array(values)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise Unfit from error
    if array.type != pa.int64() or array.null_count:
        raise Unfit
    numbers: npt.NDArray[np.int64] = array.to_numpy()
    return numbers


def _dependencies(column: Sequence[Any]) -> list[tuple[int, list[str]]]:
    given = [(place, ids) for place, ids in enumerate(column) if ids != []]
    for _, ids in given:
        if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
            raise Unfit
    return given
