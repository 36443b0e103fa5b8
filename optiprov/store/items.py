"""Data items on their way into the tables of their datasets: one by one, or as columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    Column = tuple[Any, ...] | npt.NDArray[Any]


class DatasetRow(NamedTuple):
    """A data item's values, as they arrived, on their way into a dataset's table."""

    dataflow: str
    dataset: str
    item: int
    item_id: str
    run_id: str
    task: int
    transformation: str
    role: str
    attributes: dict[str, Any] | None
    source: tuple[str, int]
    task_id: str
    ordinal: int


@dataclass
class ItemColumns:
    """Data items of one dataset on their way into its table: fixed columns, and values by attribute.

    Attributes:
        numbers: the numbers that their client gave them.
        task_numbers: the ids of the tasks that use or generate them.
        item: their keys, 63 bits.
        task: the keys of those tasks.
        ordinal: their places in the commit.
        values: the values of each attribute as they arrived, one an item.
        is_listed: whether each arrived in a list of its own.
    """

    dataflow: str
    dataset: str
    run_id: str
    transformation: str
    role: str
    client: str
    sequences: Sequence[int]
    numbers: npt.NDArray[np.int64]
    task_numbers: npt.NDArray[np.int64]
    item: npt.NDArray[np.int64]
    task: npt.NDArray[np.int64]
    ordinal: npt.NDArray[np.int64]
    values: dict[str, Column]
    is_listed: bool = False

    def to_rows(self) -> list[DatasetRow]:
        """Return the items one by one."""
        names = list(self.values)
        listed = [self._listed(column) for column in self.values.values()]
        each = zip(*listed, strict=True) if names else ((),) * len(self.numbers)
        places = zip(
            *(
                self.sequences,
                self.numbers.tolist(),
                self.task_numbers.tolist(),
                self.item.tolist(),
                self.task.tolist(),
            ),
            *(self.ordinal.tolist(), each),
            strict=True,
        )
        return [
            DatasetRow(
                *(self.dataflow, self.dataset, item, f"{self.client}:{number}", self.run_id, task),
                *(self.transformation, self.role, dict(zip(names, values, strict=True))),
                *((self.client, sequence), str(task_number), ordinal),
            )
            for sequence, number, task_number, item, task, ordinal, values in places
        ]

    def _listed(self, column: Column) -> Sequence[Any]:
        values: Sequence[Any] = column if isinstance(column, tuple) else column.tolist()
        return [[value] for value in values] if self.is_listed else values


def ordinal(place: Any, item: int) -> Any:
    """Return where a data item is within its commit, from its record's place and its own in that record."""
    return (place << 20) + item


def arrival(commit_id: int, place: Any) -> Any:
    """Return a number that grows in the order in which records are committed, whatever their clocks say."""
    return (commit_id << 32) + place
