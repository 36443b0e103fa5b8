"""What a dataflow consists of, as DfAnalyzer's users write it: transformations, sets, attributes.

    dataflow = Dataflow("digits")
    training = Transformation("training")
    training_input = Set("training_input", SetType.INPUT, [Attribute("kernel_size", AttributeType.NUMERIC)])
    training_output = Set("training_output", SetType.OUTPUT, [Attribute("accuracy", AttributeType.NUMERIC)])
    training.set_sets([training_input, training_output])
    dataflow.add_transformation(training)
    dataflow.save()

A transformation takes a set as it is at that moment: a set that is an output of one becomes an input of
another by `set_type(SetType.INPUT)` and `dependency = transformation._tag`.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

from optiprov.capture.client import get_client
from optiprov.records import Specification, now_us


class AttributeType(Enum):
    """What the values of an attribute are."""

    TEXT = "TEXT"
    NUMERIC = "NUMERIC"
    FILE = "FILE"


class SetType(Enum):
    """Whether a transformation uses a set or generates it."""

    INPUT = "INPUT"
    OUTPUT = "OUTPUT"


class Attribute:
    """A typed attribute of a set.

    Args:
        tag: its name.
        type: what its values are.
    """

    def __init__(self, tag: str, type: Union[AttributeType, str]) -> None:
        self.name = str(tag)
        self.type = AttributeType(type)

    def __repr__(self) -> str:
        return f"{self.name}:{self.type.value}"


class Set:
    """A dataset that a transformation uses or generates.

    Args:
        tag: its name.
        type: whether it is used or generated.
        attributes: in the order in which values are given.
        extractors: accepted as DfAnalyzer does, and not used: values come from the application.
        dependency: name of the transformation that generates it, where another one does.
    """

    def __init__(
        self,
        tag: str,
        type: Union[SetType, str],
        attributes: Sequence[Attribute] = (),
        extractors: Sequence[Any] = (),
        dependency: str = "",
    ) -> None:
        self._tag = str(tag)
        self.attributes = list(attributes)
        self.extractors = list(extractors)
        self.dependency = dependency
        self.set_type(type)

    @property
    def tag(self) -> str:
        """Its name."""
        return self._tag

    def set_type(self, type: Union[SetType, str]) -> None:
        """Say whether it is used or generated; transformations that have it already keep it as it was."""
        self.type = SetType(type)

    def add_attribute(self, attribute: Attribute) -> None:
        """Append an attribute."""
        self.attributes.append(attribute)


class Program:
    """A program that carries out a transformation.

    Args:
        name: its name.
        path: where it lies.
    """

    def __init__(self, name: str, path: str) -> None:
        self.name = name
        self.path = path


class _TakenSet(NamedTuple):
    """A set as it was when a transformation took it."""

    tag: str
    type: SetType
    attributes: Tuple[Attribute, ...]
    dependency: str


class Transformation:
    """An activity type of a dataflow.

    Args:
        tag: its name.
        sets: the sets that it uses and generates.
    """

    def __init__(self, tag: str, sets: Sequence[Set] = ()) -> None:
        self._tag = str(tag)
        self.programs: List[Program] = []
        self._sets: List[_TakenSet] = []
        self.set_sets(sets)

    @property
    def tag(self) -> str:
        """Its name."""
        return self._tag

    def set_sets(self, sets: Sequence[Set]) -> None:
        """Add sets, each as it is now."""
        for one in sets:
            self.add_set(one)

    def add_set(self, set: Set) -> None:
        """Add a set as it is now."""
        self._sets.append(_TakenSet(set.tag, set.type, tuple(set.attributes), set.dependency))

    def add_program(self, program: Program) -> None:
        """Add a program that carries it out."""
        self.programs.append(program)

    def described(self) -> Dict[str, Any]:
        """Return its sets by role, and its programs, as a specification has them."""
        used = {one.tag: one.dependency or None for one in self._sets if one.type is SetType.INPUT}
        generated = [one.tag for one in self._sets if one.type is SetType.OUTPUT]
        programs = [[str(program.name), str(program.path)] for program in self.programs]
        return {"used": used, "generated": list(dict.fromkeys(generated)), "programs": programs}

    def attributes(self) -> Dict[str, List[List[str]]]:
        """Return the attributes of its sets, each a list of name and type."""
        return {one.tag: [[a.name, a.type.value] for a in one.attributes] for one in self._sets}


class Dataflow:
    """A specification of a dataflow; `save()` emits it.

    It may be saved before, after or without data, and again: what is the same changes nothing, changed
    attributes are a new version.

    Args:
        tag: name of the dataflow.
        transformations: its transformations.
    """

    def __init__(self, tag: str, transformations: Sequence[Transformation] = ()) -> None:
        self._tag = str(tag)
        self.transformations = list(transformations)

    @property
    def tag(self) -> str:
        """Its name."""
        return self._tag

    def add_transformation(self, transformation: Transformation) -> None:
        """Add a transformation; one that is there already is not there twice."""
        if transformation not in self.transformations:
            self.transformations.append(transformation)

    def save(self) -> None:
        """Emit the specification, and tell the tasks of this process what their datasets are."""
        described: Dict[str, Any] = {}
        datasets: Dict[str, Any] = {}
        for transformation in self.transformations:
            described[transformation.tag] = transformation.described()
            for name, attributes in transformation.attributes().items():
                if attributes or name not in datasets:
                    datasets[name] = attributes  # an application that changes a set says its last word here
        _saved[self._tag] = described
        get_client().emit(Specification(self._tag, now_us(), described, datasets))


_saved: Dict[str, Dict[str, Any]] = {}


def saved_role(dataflow: str, transformation: str, dataset: str) -> Optional[str]:
    """Return "used" or "generated" as the specification that this process saved says; None without one."""
    sets = _saved.get(dataflow, {}).get(transformation, {})
    is_used, is_generated = dataset in sets.get("used", ()), dataset in sets.get("generated", ())
    if is_used == is_generated:
        return None
    return "used" if is_used else "generated"


def saved_inputs(dataflow: str, transformation: str) -> Sequence[str]:
    """Return the datasets that a transformation uses, as the specification that this process saved says."""
    return list(_saved.get(dataflow, {}).get(transformation, {}).get("used", ()))
