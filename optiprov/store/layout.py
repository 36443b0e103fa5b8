"""Lays the values of a data item on the attributes that the specification of its dataset names.

DfAnalyzer's users give the values of an item as a list, in the order of the specified attributes. ProvLight's
give such a list under a name of their own: `Data("train_input", "f", [], {"parameters": [3, 12, 2, 9]})`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optiprov.store.values import unwrap

if TYPE_CHECKING:
    from optiprov.store.catalog import Dataset


def lay_out(dataset: Dataset, attributes: dict[str, Any]) -> dict[str, Any]:
    """Return the values by the names of the dataset's attributes, as the specification types them.

    A value whose name is an attribute's, of this version of the specification or of an earlier one, keeps it.
    A list under any other name is laid, in order, on the attributes that no name matched; with none of these
    left, it is an attribute of its own. So is a single value beside values whose names matched.

    Args:
        dataset: what is known of the dataset.
        attributes: the values as they arrived, each bare or as a list.

    Raises:
        ValueError: a list has too few values or too many; the message says what was expected, and what came.
    """
    if not dataset.specified or not attributes:
        return attributes
    named = {name: value for name, value in attributes.items() if name in dataset.known_names}
    foreign = {name: value for name, value in attributes.items() if name not in dataset.known_names}
    open_names = [name for name in dataset.specified if name not in named]
    laid = dict(named)
    for name, value in foreign.items():
        values = value if isinstance(value, list) else [value]
        is_single = len(values) == 1
        if (
            open_names
            and len(values) == len(open_names)
            and (not named or not is_single)
            and len(foreign) == 1
        ):
            laid.update(zip(open_names, values, strict=True))
        elif not open_names or (is_single and (named or len(foreign) > 1)):
            laid[name] = value
        else:
            raise ValueError(_mismatch(dataset, open_names, name, values))
    return {name: _as_specified(dataset.specified.get(name), value) for name, value in laid.items()}


def _mismatch(dataset: Dataset, open_names: list[str], name: str, values: list[Any]) -> str:
    expected = f"{len(open_names)} value{'' if len(open_names) == 1 else 's'} ({', '.join(open_names)})"
    said = f"as version {dataset.version} of the specification says"
    return f"expected {expected} {said}, got {len(values)} under {name!r}"


def _as_specified(kind: str | None, value: Any) -> Any:
    """Read a number that came as text, as DfAnalyzer's clients send all values."""
    bare = unwrap(value)
    return _number(bare) if kind == "NUMERIC" and isinstance(bare, str) else value


def _number(text: str) -> Any:
    if "_" in text:  # Python reads 2026_01 as a number
        return text
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text
