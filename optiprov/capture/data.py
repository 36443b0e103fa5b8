"""Data items: rows of datasets, and files."""

from __future__ import annotations

import os
from typing import Any, Dict, Iterable, List, Mapping, Optional, Union

from optiprov.capture.client import get_client
from optiprov.records import Item


class Data:
    """A row of a dataset that tasks use or generate.

    One object given to several tasks, of this process or of others, is one data item: other processes refer
    to it with `Data(dataset, dataflow_id, [], {}, id=that_id)`.

    Args:
        dataset: name of the dataset.
        dataflow_id: id of the dataflow, an int or text.
        derivations: the items this one is derived from: `Data` objects or ids.
        attributes: the values by name, each usually a list with one value.
        id: the id of an item that exists, to refer to it; by default a new one.
    """

    def __init__(
        self,
        dataset: Union[str, int],
        dataflow_id: Union[str, int],
        derivations: Union[Iterable[Union[Data, str, int]], Data, str, int, None] = (),
        attributes: Optional[Mapping[str, Any]] = None,
        *,
        id: Optional[str] = None,
    ) -> None:
        self.dataset = str(dataset)
        self.dataflow_id = str(dataflow_id)
        self.derivations: List[Any] = listed(derivations)
        self.attributes: Dict[str, Any] = dict(attributes or {})
        self._id = id
        self._emitted = id is not None and not self.attributes

    @property
    def id(self) -> str:
        """The item's id, unique in the world."""
        if self._id is None:
            self._id = get_client().new_item_id()
        return self._id

    def _file(self) -> Optional[Dict[str, Any]]:
        return None

    def to_item(self) -> Item:
        """Return the record of the item: whole the first time, a reference from then on."""
        if self._emitted:
            return Item(self.id, self.dataset, self.dataflow_id, [], None, None)
        self._emitted = True
        sources = [source.id if isinstance(source, Data) else str(source) for source in self.derivations]
        attributes = {str(name): value for name, value in self.attributes.items()}
        return Item(self.id, self.dataset, self.dataflow_id, sources, attributes, self._file())


class File(Data):
    """A version of a file that tasks use or generate.

    Args:
        path: where it lies.
        role: what it is to the task, also the name of its dataset; by default "file".
        id: the id of a file version that exists, to refer to it.
    """

    def __init__(
        self, path: Union[str, os.PathLike[str]], role: Optional[str] = None, id: Optional[str] = None
    ) -> None:
        super().__init__(role or "file", "", (), None, id=id)
        self.path = os.path.abspath(path)
        self.role = role

    def _file(self) -> Optional[Dict[str, Any]]:
        try:
            status = os.stat(self.path)
        except OSError:
            return {"path": self.path, "role": self.role, "size_bytes": None, "modified_us": None}
        modified_us = status.st_mtime_ns // 1000
        return {
            "path": self.path,
            "role": self.role,
            "size_bytes": status.st_size,
            "modified_us": modified_us,
        }


def to_items(data: Union[Data, Iterable[Data], None]) -> List[Item]:
    """Return the items of what a task was given: one `Data`, several, or none."""
    if data is None:
        return []
    return [one.to_item() for one in ([data] if isinstance(data, Data) else data)]


def listed(value: Any) -> List[Any]:
    """Return a list of what was given where a list is usual: several, one, or None."""
    if value is None:
        return []
    if isinstance(value, (list, tuple, set)):
        return list(value)
    return [value] if isinstance(value, (str, bytes)) or not isinstance(value, Iterable) else list(value)
