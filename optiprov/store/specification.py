"""What a specification says of a dataflow, checked: its transformations, datasets and attributes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from optiprov.store.values import clean_text

if TYPE_CHECKING:
    import datetime

    from optiprov.records import Specification

TYPES = ("TEXT", "NUMERIC", "FILE")
_ROLES = {"used", "generated", "programs"}


class SpecifiedDataset(NamedTuple):
    """A dataset that a transformation uses or generates.

    Attributes:
        role: "used" or "generated".
        dataset: its name.
        source: the transformation that the items come from, where that is said.
    """

    role: str
    dataset: str
    source: str | None


@dataclass(frozen=True)
class SpecifiedTransformation:
    """A transformation of a dataflow: its datasets, and the programs (name, path) that carry it out."""

    name: str
    datasets: tuple[SpecifiedDataset, ...]
    programs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class DataflowSpecification:
    """A checked specification.

    Attributes:
        dataflow: name of the dataflow.
        transformations: in the order they were given.
        attributes: type by name, in order, for each dataset.
        text: the whole of it; two specifications that say the same have the same text.
        client: who sent it.
        specified_at: when it was said so, UTC.
    """

    dataflow: str
    transformations: tuple[SpecifiedTransformation, ...]
    attributes: dict[str, dict[str, str]]
    text: str
    client: str
    specified_at: datetime.datetime

    @classmethod
    def read(
        cls, record: Specification, client: str, specified_at: datetime.datetime
    ) -> DataflowSpecification:
        """Check the record of a specification.

        Raises:
            ValueError: it is none; the message says where and what was received.
        """
        attributes = {
            clean_text(dataset): _attributes(dataset, listed) for dataset, listed in record.datasets.items()
        }
        transformations = tuple(_transformation(*one) for one in record.transformations.items())
        for transformation in transformations:
            for one in transformation.datasets:
                attributes.setdefault(one.dataset, {})
        text = clean_text(json.dumps([record.transformations, record.datasets]))
        dataflow = clean_text(record.dataflow)
        return cls(dataflow, transformations, attributes, text, client, specified_at)


def _attributes(dataset: str, listed: Any) -> dict[str, str]:
    if not isinstance(listed, list):
        raise ValueError(  # noqa: TRY004 - what a record holds is a value
            f"the specification's dataset {dataset!r} is a list of attributes, got {_short(listed)}"
        )
    attributes: dict[str, str] = {}
    for pair in listed:
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(one, str) for one in pair):
            raise ValueError(f"an attribute of the dataset {dataset!r} is [name, type], got {_short(pair)}")
        name, kind = clean_text(pair[0]), pair[1]
        if kind not in TYPES:
            raise ValueError(f"{dataset}.{name} is of type {' or '.join(TYPES)}, got {_short(kind)}")
        if name in attributes:
            raise ValueError(f"the dataset {dataset!r} has the attribute {name!r} twice")
        attributes[name] = kind
    return attributes


def _transformation(name: str, given: Any) -> SpecifiedTransformation:
    if not isinstance(given, dict) or not given.keys() <= _ROLES:
        raise ValueError(f"the transformation {name!r} has used, generated and programs, got {_short(given)}")
    used, generated, programs = given.get("used", {}), given.get("generated", []), given.get("programs", [])
    if not isinstance(used, dict) or not all(source is None or _is_text(source) for source in used.values()):
        raise ValueError(
            f"what {name!r} uses is a mapping of datasets to transformations, got {_short(used)}"
        )
    if not isinstance(generated, list) or not all(map(_is_text, generated)):
        raise ValueError(f"what {name!r} generates is a list of datasets, got {_short(generated)}")
    if not isinstance(programs, list) or not all(
        isinstance(pair, list) and len(pair) == 2 and all(map(_is_text, pair)) for pair in programs
    ):
        raise ValueError(f"the programs of {name!r} are a list of [name, path], got {_short(programs)}")
    datasets = [
        SpecifiedDataset("used", clean_text(dataset), None if source is None else clean_text(source))
        for dataset, source in used.items()
    ]
    datasets += [SpecifiedDataset("generated", clean_text(dataset), None) for dataset in generated]
    return SpecifiedTransformation(
        clean_text(name), tuple(datasets), tuple((one, path) for one, path in programs)
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _short(value: Any) -> str:
    return repr(value)[:80]
