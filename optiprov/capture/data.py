"""Data items: rows of datasets, and files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Dict, Iterable, List, Mapping, Optional, Tuple, Union

from optiprov.capture.client import get_client
from optiprov.capture.warnings import warn
from optiprov.records import Item

if TYPE_CHECKING:
    from optiprov.capture.client import Client


ItemTuple = Tuple[str, str, Tuple[str, ...]]
"""A plain tuple that equals an `ItemShape`."""


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
        self.dataset = dataset if dataset.__class__ is str else str(dataset)
        self.dataflow_id = dataflow_id if dataflow_id.__class__ is str else str(dataflow_id)
        sources = self.derivations = [*derivations] if derivations.__class__ is list else listed(derivations)
        self.attributes: Dict[str, Any] = (
            {**attributes} if attributes.__class__ is dict else _mapping(attributes) if attributes else {}
        )
        # None until it is known; a tuple stands for `<client>:<number>`.
        self.own_id: Union[str, Tuple[str, int], None] = None
        self.is_new = True  # its values are still to be emitted
        self.is_plain = not sources  # values and no more: no file, and its id is still to be given
        if id is not None:
            self.own_id = str(id)
            self.is_new = bool(self.attributes)
            self.is_plain = False

    @property
    def id(self) -> str:
        """The item's id, unique in the world."""
        if self.own_id is None:
            client = get_client()
            self.own_id = (client.id, client.new_item_number())
            self.is_plain = False
        return self.own_id if isinstance(self.own_id, str) else "{}:{}".format(*self.own_id)

    def _file(self) -> Optional[Dict[str, Any]]:
        return None

    def to_item(self) -> Item:
        """Return the record of the item: whole the first time, a reference from then on."""
        if not self.is_new:
            return Item(self.id, self.dataset, self.dataflow_id, [], None, None)
        self.is_new = False
        sources = [source.id if isinstance(source, Data) else str(source) for source in self.derivations]
        attributes = {str(name): value for name, value in self.attributes.items()}
        return Item(self.id, self.dataset, self.dataflow_id, sources, attributes, self._file())

    def to_row(self, row: List[Any], client: Client) -> ItemTuple:
        """Give a plain item its id, and append its number and values to a row."""
        number = client.new_item_number()
        self.own_id = (client.id, number)
        self.is_new = self.is_plain = False
        attributes = self.attributes
        row.append(number)
        row += attributes.values()
        return (self.dataset, self.dataflow_id, tuple(attributes))


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
        self.is_plain = False
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


def to_list(data: Union[Data, Iterable[Data], None]) -> List[Data]:
    """Return what a task was given as a list: one `Data`, several, or none."""
    if data is None:
        return []
    return (
        list(data)
        if isinstance(data, (list, tuple))
        else [data]
        if isinstance(data, Data)
        else _several(data)
    )


def _several(data: Any) -> List[Data]:
    try:
        return list(data)
    except TypeError:
        return [data]


def rows_of(items: List[Data], row: List[Any], client: Client) -> Optional[Tuple[ItemTuple, ...]]:
    """Append the numbers and values of items to a row, and return what an `ItemShape` has of each.

    None, with nothing changed, where one is more than values.
    """
    for one in items:
        if not isinstance(one, Data) or not one.is_plain:
            return None
    if len(items) > 1 and len(set(map(id, items))) < len(items):
        return None  # one of them twice
    return tuple([one.to_row(row, client) for one in items])


def keep_new(items: List[Data]) -> None:
    """Have items that were to go as rows, but did not, emitted whole."""
    for one in items:
        if isinstance(one, Data):
            one.is_new = True


def to_items(items: List[Data]) -> List[Item]:
    """Return the records of items; what is no `Data` is left out, with a warning."""
    for one in items:
        if not isinstance(one, Data):
            warn("a task uses and generates Data objects, got %s; it is left out", type(one).__name__)
    return [one.to_item() for one in items if isinstance(one, Data)]


def _mapping(attributes: Any) -> Dict[str, Any]:
    try:
        return dict(attributes)
    except (TypeError, ValueError):
        warn(
            "the attributes of a data item are a mapping of names to values, got %s",
            type(attributes).__name__,
        )
        return {}


def listed(value: Any) -> List[Any]:
    """Return a list of what was given where a list is usual: several, one, or None."""
    if value is None:
        return []
    if isinstance(value, (list, tuple, set)):
        return list(value)
    return [value] if isinstance(value, (str, bytes)) or not isinstance(value, Iterable) else list(value)
