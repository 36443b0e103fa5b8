"""Packs the begins or ends of a transformation's tasks into slots of the spool, as long as they are alike.

That is the way of a task with one data item whose values are numbers: a row of machine words is in the spool
after a microsecond. Whatever is not so, or not yet known, goes the way of other records.
"""

from __future__ import annotations

import sys
from time import time_ns
from typing import TYPE_CHECKING, Any, Iterator, Optional, Tuple

from optiprov.capture.data import Data
from optiprov.wire import LISTED, codes_of, row_struct

if TYPE_CHECKING:
    from optiprov.capture.client import Client
    from optiprov.wire import ShapeTuple

_has_gil = getattr(sys, "_is_gil_enabled", lambda: True)
CAN_PACK = (
    sys.implementation.name == "cpython"
    and sys.version_info >= (3, 10)  # from then on, nothing comes between a `for` and the stores behind it
    and sys.byteorder == "little"
    and _has_gil()
)


class Packing:
    """Packs the begins, or the ends, of the tasks of one transformation in one run. Thread-safe.

    Args:
        client: whose spool it is.
        count: counts a record of the run.
        shape: what the rows have in common, with the codes of their values.
    """

    def __init__(self, client: Client, count: Iterator[int], shape: ShapeTuple) -> None:
        ((self._dataset, self._dataflow, names),) = shape[-2]
        self._names = [*names]
        self._client = client
        self._client_id = client.id
        self._shape = shape
        self._is_listed = shape[-1].startswith(LISTED)
        self._count = count
        self._item_numbers = client.item_numbers
        self._publisher = client.publisher
        self._pack = row_struct(shape[-1]).pack
        self._target: Tuple[Iterator[Tuple[slice, slice]], Any, bytes] = (iter(()), None, b"")

    def write(self, task_id: Any, data: Any) -> bool:
        """Store the begin or end of a task that happens now; False where it has to go another way.

        Args:
            task_id: as the application gave it.
            data: as the application gave it.
        """
        if data.__class__ is not list or len(data) != 1:
            return False
        (item,) = data
        if item.__class__ is not Data or not item.is_plain:
            return False
        attributes = item.attributes
        if (
            [*attributes] != self._names
            or item.dataset != self._dataset
            or item.dataflow_id != self._dataflow
        ):
            return False
        number = next(self._item_numbers)
        try:
            if self._is_listed:
                row = self._pack(task_id, time_ns(), number, *[value for (value,) in attributes.values()])
            else:
                row = self._pack(task_id, time_ns(), number, *attributes.values())
        except Exception:  # noqa: BLE001 - values are of any type, and may raise anything
            return False
        slots, held, marker = self._target
        for row_at, marker_at in slots:
            held[row_at] = row
            held[marker_at] = marker  # last: from now on it is there
            break
        else:
            return self._take_segment() and self.write(task_id, data)
        item.is_new = item.is_plain = False
        item.own_id = (self._client_id, number)
        next(self._count)
        publisher = self._publisher
        if publisher is not None and publisher.idle:
            publisher.notify()
        return True

    def _take_segment(self) -> bool:
        """Go on in a segment that has room; False where there is none."""
        found = self._client.packed_segment(self._shape)
        if found is None:
            return False
        segment, marker = found
        self._target = (segment.slots, segment.map, marker)
        return True


def codes_of_item(data: Any) -> Optional[str]:
    """Return the codes of the values of a task's one data item.

    None where the task has other data, or values that cannot be packed.
    """
    if type(data) is not list or len(data) != 1:
        return None
    item = data[0]
    if item.__class__ is not Data or not item.is_plain:
        return None
    values = list(item.attributes.values())
    if not values or not all(type(value) is list and len(value) == 1 for value in values):
        return codes_of(values)
    codes = codes_of([value for (value,) in values])  # as ProvLight's clients give them
    return codes and LISTED + codes
