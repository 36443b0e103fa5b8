"""Turns groups of rows into columns of the store's tables, without a Python object for each row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from optiprov.records import base_key
from optiprov.records.identity import LAST_SHIFT, MIX, STRIDE
from optiprov.store.groups import Unfit
from optiprov.store.items import ItemColumns, arrival, ordinal
from optiprov.store.values import clean_text
from optiprov.wire import END, LISTED

if TYPE_CHECKING:
    import numpy.typing as npt

    from optiprov.store.backend import Kind
    from optiprov.store.groups import Fields, Group
    from optiprov.store.items import Column

_NUMBERS_BELOW = 10**18  # as in `records.number_of`
_LOWEST = -(2**63)
_TIMES_BELOW = 2**55  # microseconds: the year 3111
_KINDS: dict[pa.DataType, Kind] = {
    pa.int64(): "integer",
    pa.float64(): "double",
    pa.bool_(): "boolean",
    pa.string(): "text",
}


@dataclass
class TaskColumns:
    """What a group of rows says of its tasks.

    Attributes:
        numbers: the ids of the tasks.
        key: their keys, 63 bits.
        events: rows of task_begin or task_end.
        dependencies: for each task that has some, its place and the ids.
        items: the data items, one entry for each of the shape.
    """

    numbers: npt.NDArray[np.int64]
    key: npt.NDArray[np.int64]
    events: pa.Table
    dependencies: list[tuple[int, list[str]]]
    items: list[ItemColumns]


def task_columns(group: Group, commit_id: int) -> TaskColumns:
    """Return the columns of a group that is stored by a commit.

    Raises:
        Unfit: a row does not fit the shape, or has ids or times of an unusual form.
    """
    shape, header, fields = group.shape, group.header, group.fields()
    numbers = _checked(fields.numbers, _NUMBERS_BELOW)
    key = number_keys(base_key(shape.run_id, shape.transformation), numbers)
    time = pa.array(_checked(fields.times, _TIMES_BELOW)).cast(pa.timestamp("us"))
    count = len(numbers)
    events: dict[str, pa.Array] = {
        "task": pa.array(key),
        "task_id": pa.array(numbers).cast(pa.string()),
        "run_id": _repeat(shape.run_id, count),
        "dataflow": _repeat(shape.dataflow, count),
        "transformation": _repeat(shape.transformation, count),
    }
    if shape.kind == END:
        events |= {
            "status": _repeat(shape.status, count),
            "error": pa.nulls(count, pa.string()),
            "ended_at": time,
        }
    else:
        host, agent = shape.host or header.host, shape.agent or header.user
        events |= {
            "client_id": _repeat(header.client, count),
            "host": _repeat(host, count),
            "agent": _repeat(agent, count),
            "started_at": time,
            "arrival": pa.array(arrival(commit_id, group.places)),
        }
    items = _items(group, fields, key)
    return TaskColumns(numbers, key, pa.table(events), fields.dependencies, items)


def _items(group: Group, fields: Fields, task: npt.NDArray[np.int64]) -> list[ItemColumns]:
    shape, client = group.shape, group.header.client
    base = base_key(client)
    role = "generated" if shape.kind == END else "used"
    sequences, places = group.sequences, group.places
    found = []
    for place, (item, (unchecked, values)) in enumerate(zip(shape.items, fields.items, strict=True)):
        numbers = _checked(unchecked, _NUMBERS_BELOW)
        found.append(
            ItemColumns(
                dataflow=clean_text(item.dataflow or shape.dataflow),
                dataset=clean_text(item.dataset or "unnamed"),
                run_id=shape.run_id,
                transformation=clean_text(shape.transformation),
                role=role,
                client=client,
                sequences=sequences,
                numbers=numbers,
                task_numbers=fields.numbers,
                item=number_keys(base, numbers),
                task=task,
                ordinal=ordinal(places, place),
                values=values,
                is_listed=(shape.codes or "").startswith(LISTED),
            )
        )
    return found


def item_rows(items: ItemColumns, dataset_key: int) -> pa.Table:
    """Return the rows of the table `item`."""
    numbers = pa.array(items.numbers).cast(pa.string())
    count = len(items.numbers)
    return pa.table(
        {
            "item": pa.array(items.item),
            "item_id": pc.binary_join_element_wise(items.client, numbers, ":"),
            "dataset_key": pa.array(np.full(count, dataset_key, np.int64)),
            "run_id": _repeat(items.run_id, count),
        }
    )


def edge_rows(items: ItemColumns) -> pa.Table:
    """Return the rows of the table `used` or `generated`."""
    return pa.table({"task": pa.array(items.task), "item": pa.array(items.item)})


def fixed_columns(items: ItemColumns, commit_id: int) -> dict[str, pa.Array]:
    """Return the columns that the table of every dataset has."""
    count = len(items.numbers)
    return {
        "item": pa.array(items.item),
        "run_id": _repeat(items.run_id, count),
        "task": pa.array(items.task),
        "transformation": _repeat(items.transformation, count),
        "commit_id": pa.array(np.full(count, commit_id, np.int64)),
        "ordinal": pa.array(items.ordinal),
    }


def typed_values(values: Column) -> tuple[Kind | None, pa.Array]:
    """Return the kind of an attribute's values and the values as an array; no kind where all are None.

    A value may be alone or in a list of its own, as ProvLight's clients send it.

    Raises:
        Unfit: they are not all of one kind, or not plain.
    """
    if isinstance(values, np.ndarray) and values.dtype == np.int64 and (values == _LOWEST).any():
        raise Unfit  # not every engine has it
    try:
        array = pa.array(values)
        if pa.types.is_list(array.type):
            array = _out_of_lists(array)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise Unfit from error
    if pa.types.is_null(array.type):
        return None, array
    if array.type not in _KINDS:
        raise Unfit
    return _KINDS[array.type], array


def _out_of_lists(array: pa.Array) -> pa.Array:
    lengths = pc.min_max(pc.list_value_length(array))
    if array.null_count or lengths["min"].as_py() != 1 or lengths["max"].as_py() != 1:
        raise Unfit
    return array.flatten()


def number_keys(base: int, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return `records.numbered_key` of each number."""
    mixed = numbers.astype(np.uint64) * np.uint64(STRIDE) + np.uint64(base)
    for shift, factor in MIX:
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    mixed ^= mixed >> np.uint64(LAST_SHIFT)
    keys: npt.NDArray[np.int64] = (mixed >> np.uint64(1)).view(np.int64)
    return keys


def _checked(numbers: npt.NDArray[np.int64], below: int) -> npt.NDArray[np.int64]:
    if not len(numbers) or numbers.min() < 0 or numbers.max() >= below:
        raise Unfit
    return numbers


def _repeat(value: str | None, count: int) -> pa.Array:
    return pa.repeat(pa.scalar(None if value is None else clean_text(value), pa.string()), count)
