"""What is kept of a record or a value that is rejected: names beside the values, as a person reads them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from optiprov.errors import WireError
from optiprov.records import Item
from optiprov.store.plain_values import json_value
from optiprov.store.values import clean_text
from optiprov.wire import BEGIN, decode_record, expand

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optiprov.records import Record
    from optiprov.store.items import DatasetRow
    from optiprov.wire import Shape

_LIMIT = 64 << 10  # characters or bytes: the start tells what it was


def record_text(payload: bytes, client: str, shapes: Mapping[int, Shape]) -> str:
    """Return what a record says, as JSON with the names of its fields and attributes.

    Args:
        payload: the record as it arrived: whole, a row of a shape, or anything else, which is kept as it is.
        client: who sent it.
        shapes: the client's, by their numbers.
    """
    try:
        described = _describe(payload, client, shapes)
    except (WireError, ValueError, TypeError, RecursionError, OverflowError):
        return payload[:_LIMIT].decode("utf-8", "backslashreplace")
    return _json(described)


def values_text(row: DatasetRow, values: Mapping[str, Any]) -> str:
    """Return values of a data item as JSON, with whose they are."""
    return item_text(row.run_id, row.transformation, row.task_id, row.dataset, values)


def item_text(
    run_id: str, transformation: str, task_id: str | None, dataset: str, values: Mapping[str, Any]
) -> str:
    """Return values of a data item as JSON, with its run, task and dataset."""
    whose = {"run_id": run_id, "transformation": transformation, "task_id": task_id, "dataset": dataset}
    return _json({**whose, "attributes": dict(values)})


def _json(value: Any) -> str:
    return clean_text(json.dumps(json_value(value), ensure_ascii=False))[:_LIMIT]


def _describe(payload: bytes, client: str, shapes: Mapping[int, Shape]) -> dict[str, Any]:
    row = json.loads(payload)
    shape = shapes.get(row[0]) if isinstance(row, list) and row and type(row[0]) is int else None
    if shape is None:
        return _named(decode_record(payload))
    try:
        return _named(expand(shape, row, client))
    except WireError:  # it does not fit its shape
        kind = "TaskBegin" if shape.kind == BEGIN else "TaskEnd"
        items = [{"dataset": item.dataset, "attributes": item.attributes} for item in shape.items]
        whose = {"run_id": shape.run_id, "transformation": shape.transformation, "dataflow": shape.dataflow}
        return {"record": kind, **whose, "items": items, "row": row}


def _named(record: Record) -> dict[str, Any]:
    fields = {name: _items(value) for name, value in record._asdict().items()}
    return {"record": type(record).__name__, **fields}


def _items(value: Any) -> Any:
    """Return the data items among a record's fields with their names, without what they do not have."""
    if not isinstance(value, list):
        return value
    return [
        {name: given for name, given in one._asdict().items() if given is not None and given != []}
        if isinstance(one, Item)
        else one
        for one in value
    ]
