"""The specification of the dataflow `tutorial`: one transformation, what it uses and what it generates."""

from __future__ import annotations

from dfa_lib_python.attribute import Attribute
from dfa_lib_python.attribute_type import AttributeType
from dfa_lib_python.dataflow import Dataflow
from dfa_lib_python.set import Set
from dfa_lib_python.set_type import SetType
from dfa_lib_python.transformation import Transformation

HYPERPARAMETERS = ("kernel_size", "num_kernels", "length_of_strides", "pooling_size")
RESULTS = ("accuracy", "training_time")


def numbers(*names: str) -> list[Attribute]:
    """Return an attribute of type NUMERIC for each name."""
    return [Attribute(name, AttributeType.NUMERIC) for name in names]


training = Transformation("training")
training.set_sets(
    [
        Set("training_input", SetType.INPUT, numbers(*HYPERPARAMETERS)),
        Set("training_output", SetType.OUTPUT, numbers(*RESULTS)),
    ]
)
dataflow = Dataflow("tutorial")
dataflow.add_transformation(training)
dataflow.save()
