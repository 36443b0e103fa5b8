"""Shapes: what the records of many tasks have in common, sent once a batch instead of in each record.

A record of a shape is a row: the shape's number, then what differs.

    begin   [number, task id, started_us, [dependencies], item, value, ..., item, value, ...]
    end     [number, task id, ended_us, item, value, ..., item, value, ...]

An item is the number under which the client made it: its id is `<client>:<number>`. Ids of tasks that are
numbers stay numbers. A shape with codes is that of packed rows (`optiprov.wire.slots`).
"""

from __future__ import annotations

import contextlib
import json
from typing import Any, Dict, Final, List, NamedTuple, Optional, Tuple, Union

from optiprov.errors import WireError
from optiprov.records import Item, Status, TaskBegin, TaskEnd
from optiprov.wire.slots import LISTED, MAX_VALUES, read_packed

BEGIN: Final = "tb"
END: Final = "te"


class ItemShape(NamedTuple):
    """A data item of a shape: its dataset, the dataflow that scopes that, its attributes' names in order."""

    dataset: str
    dataflow: str
    attributes: Tuple[str, ...]


class Shape(NamedTuple):
    """What rows have in common.

    Attributes:
        kind: `BEGIN` or `END`.
        run_id: the tasks' run.
        dataflow: its dataflow.
        transformation: the tasks' transformation.
        host: where they ran, None for the client's host; only at the begin.
        agent: who ran them, None for the client's user; only at the begin.
        status: how they ended; only at the end.
        items: the data items they used or generated.
        codes: of the values, where the rows are packed.
    """

    kind: str
    run_id: str
    dataflow: str
    transformation: str
    host: Optional[str]
    agent: Optional[str]
    status: Optional[str]
    items: Tuple[ItemShape, ...]
    codes: Optional[str] = None

    @property
    def first_item(self) -> int:
        """The place in a row where the items begin."""
        return 4 if self.kind == BEGIN else 3

    @property
    def width(self) -> int:
        """How many elements a row has."""
        return self.first_item + sum(1 + len(item.attributes) for item in self.items)


ShapeTuple = Tuple[Any, ...]
"""A `Shape`, or a plain tuple that equals one: those are made for each record, and a named one costs more."""


def encode_shape(shape: ShapeTuple) -> bytes:
    """Encode a shape as a JSON text."""
    return json.dumps(shape, separators=(",", ":")).encode("ascii")


def decode_shapes(line: bytes) -> Dict[int, Shape]:
    """Decode the shapes of a batch: a JSON object of shapes by their numbers.

    One that is none is left out: its rows, and no others, are refused.

    Raises:
        WireError: the line is none; the message says why.
    """
    try:
        listed = [(int(number), raw) for number, raw in json.loads(line).items()]
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise WireError(f"the batch has no shapes: {error}") from error
    shapes = {}
    for number, raw in listed:
        with contextlib.suppress(ValueError, TypeError):
            shapes[number] = _shape(raw)
    return shapes


def _shape(raw: Any) -> Shape:
    kind, run_id, dataflow, transformation, host, agent, status, items, *packed = raw
    shape = Shape(
        *(kind, run_id, dataflow, transformation, host, agent, status),
        tuple(ItemShape(dataset, its_dataflow, tuple(names)) for dataset, its_dataflow, names in items),
        *packed,
    )
    texts = [run_id, dataflow, transformation]
    texts += [text for item in shape.items for text in (item.dataset, item.dataflow, *item.attributes)]
    texts += [text for text in (host, agent) if text is not None]
    if kind not in (BEGIN, END) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"no shape: {str(raw)[:80]}")
    if kind == END and status not in Status.ENDS:
        raise ValueError(f"a status at the end is one of {', '.join(Status.ENDS)}, got {status!r}")
    if any(len(set(item.attributes)) < len(item.attributes) for item in shape.items):
        raise ValueError(f"an attribute twice: {str(raw)[:80]}")
    if shape.codes is not None and not _are_codes(shape.codes, shape.items):
        raise ValueError(f"no codes of one item's values: {str(raw)[:80]}")
    return shape


def _are_codes(codes: Any, items: Tuple[ItemShape, ...]) -> bool:
    if not isinstance(codes, str) or len(items) != 1:
        return False
    values = codes[len(LISTED) :] if codes.startswith(LISTED) else codes
    return set(values) <= {"q", "d"} and len(values) == len(items[0].attributes) <= MAX_VALUES


def unpack(shape: Shape, slot: bytes) -> List[Any]:
    """Return a packed row as a row of its shape, as `expand` takes it.

    Raises:
        WireError: the shape has no codes: its rows are not packed.
    """
    if shape.codes is None:
        raise WireError("a packed row refers to a shape whose rows are not packed")
    row = read_packed(slot, shape.codes)
    if shape.kind == BEGIN:
        row.insert(3, [])
    return row


def expand(shape: Shape, row: List[Any], client: str) -> Union[TaskBegin, TaskEnd]:
    """Return the record that a row of a shape stands for.

    Raises:
        WireError: the row does not fit the shape.
    """
    if len(row) != shape.width:
        raise WireError(f"a row of this shape has {shape.width} elements, got {len(row)}")
    if not all(_is_int(value) for value in (row[0], row[2])) or not isinstance(row[1], (int, str)):
        raise WireError(f"a row starts with shape, task and time, got {str(row[:3])[:80]}")
    items = []
    at = shape.first_item
    for item in shape.items:
        if not _is_int(row[at]):
            raise WireError(f"an item is a number, got {str(row[at])[:80]}")
        values = row[at + 1 : at + 1 + len(item.attributes)]
        at += 1 + len(values)
        attributes = dict(zip(item.attributes, values))
        number = row[at - 1 - len(values)]
        items.append(Item(f"{client}:{number}", item.dataset, item.dataflow, [], attributes, None))
    task_id, time_us = str(row[1]), row[2]
    if shape.kind == END:
        return TaskEnd(
            *(shape.run_id, task_id, shape.transformation, shape.dataflow, time_us, str(shape.status)),
            *(items, None),
        )
    dependencies = row[3]
    if not isinstance(dependencies, list) or not all(isinstance(one, str) for one in dependencies):
        raise WireError(f"dependencies are a list of ids, got {str(dependencies)[:80]}")
    return TaskBegin(
        *(shape.run_id, task_id, shape.transformation, shape.dataflow, time_us, dependencies),
        *(items, shape.host, shape.agent),
    )


def _is_int(value: Any) -> bool:
    return type(value) is int and abs(value) < 2**62
