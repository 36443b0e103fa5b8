"""The record types, each with the short kind that stands for it on the wire."""

from __future__ import annotations

import time
from typing import Any, Dict, Final, List, NamedTuple, Optional, Union


class Status:
    """How a run, a task, a study or a trial stands."""

    RUNNING: Final = "running"
    FINISHED: Final = "finished"
    FAILED: Final = "failed"
    STOPPED: Final = "stopped"

    ENDS: Final = (FINISHED, FAILED, STOPPED)


def now_us() -> int:
    """Return the present time in microseconds since the epoch, UTC."""
    return time.time_ns() // 1000


class Item(NamedTuple):
    """A data item in a task's begin or end.

    Attributes:
        item_id: unique in the world.
        dataset: name of the dataset the item is a row of; empty in a reference.
        dataflow: id of the dataflow that scopes the dataset's name.
        derived_from: ids of the items it was derived from.
        attributes: the values by name, or None in a reference to an item recorded elsewhere.
        file: for a file, its path, role and size; otherwise None.
    """

    item_id: str
    dataset: str
    dataflow: str
    derived_from: List[str]
    attributes: Optional[Dict[str, Any]]
    file: Optional[Dict[str, Any]]


class RunBegin(NamedTuple):
    """A client begins a run, or joins one that another client began."""

    run_id: str
    dataflow: str
    started_us: int
    campaign: Optional[str]
    agent: Optional[str]


class RunEnd(NamedTuple):
    """A client ends its part of a run, for which it emitted record_count records, this one included."""

    run_id: str
    ended_us: int
    status: str
    record_count: int


class TaskBegin(NamedTuple):
    """A task begins and uses data items."""

    run_id: str
    task_id: str
    transformation: str
    dataflow: str
    started_us: int
    dependencies: List[str]
    used: List[Item]
    host: Optional[str]
    agent: Optional[str]


class TaskEnd(NamedTuple):
    """A task ends and has generated data items."""

    run_id: str
    task_id: str
    transformation: str
    dataflow: str
    ended_us: int
    status: str
    generated: List[Item]
    error: Optional[str]


class TaskData(NamedTuple):
    """A data item that a task used or generated, told apart from the task's begin and end.

    Attributes:
        run_id: the task's run.
        task_id: the task's id.
        transformation: the task's transformation.
        dataflow: id of the dataflow that scopes the dataset's name.
        role: "used" or "generated".
        item_id: unique in the world.
        dataset: name of the dataset the item is a row of.
        derived_from: ids of the items it was derived from.
        attributes: the values by name, or in order as a list under a name that no attribute has.
    """

    run_id: str
    task_id: str
    transformation: str
    dataflow: str
    role: str
    item_id: str
    dataset: str
    derived_from: List[str]
    attributes: Dict[str, Any]


class Specification(NamedTuple):
    """What a dataflow consists of: its transformations, and the typed attributes of their datasets.

    Attributes:
        dataflow: id of the dataflow.
        specified_us: when it was said so.
        transformations: by name, each `{"used": {dataset: the transformation it comes from, or None},
            "generated": [dataset, ...], "programs": [[name, path], ...]}`.
        datasets: by name, each a list of `[attribute, type]`, a type being TEXT, NUMERIC or FILE.
    """

    dataflow: str
    specified_us: int
    transformations: Dict[str, Any]
    datasets: Dict[str, Any]


class StudyBegin(NamedTuple):
    """A search begins; space and settings say what is searched and how."""

    study: str
    started_us: int
    campaign: Optional[str]
    metric: str
    mode: str
    space: Dict[str, Any]
    settings: Dict[str, Any]


class StudyEnd(NamedTuple):
    """A search ends."""

    study: str
    ended_us: int
    status: str
    reason: Optional[str]


class TrialBegin(NamedTuple):
    """A trial begins with its configuration."""

    study: str
    trial: str
    started_us: int
    config: Dict[str, Any]


class TrialReport(NamedTuple):
    """A value of the objective on the way: lower fidelity, never a final."""

    study: str
    trial: str
    reported_us: int
    step: int
    value: float


class TrialEnd(NamedTuple):
    """A trial ends; value is its objective, None where it has none."""

    study: str
    trial: str
    ended_us: int
    status: str
    value: Optional[float]
    metrics: Dict[str, Any]
    reason: Optional[str]


class TrialClose(NamedTuple):
    """The processes of a trial have ended: what is still open of its runs ended with this status."""

    trial: str
    ended_us: int
    status: str
    reason: Optional[str]


class Annotation(NamedTuple):
    """A value under namespace and key on a run, a task or a data item."""

    target_kind: str
    target: str
    namespace: str
    key: str
    value: Any
    annotated_us: int
    agent: Optional[str]


class Telemetry(NamedTuple):
    """A sample of a process and its host: as a task begins or ends, or in between.

    Attributes:
        run_id: the task's run.
        task_id: the task's id.
        transformation: the task's transformation.
        moment: "begin" or "end" of the task, or "sample" for any time between.
        sampled_us: when.
        values: a number for each metric.
    """

    run_id: str
    task_id: str
    transformation: str
    moment: str
    sampled_us: int
    values: Dict[str, Any]


class Environment(NamedTuple):
    """What the client's process runs in: of the host and the code, packages, variables; recorded once."""

    captured_us: int
    properties: Dict[str, Any]
    packages: Dict[str, Any]
    variables: Dict[str, Any]


class Lost(NamedTuple):
    """A tombstone: this many records could not be spooled, for this reason."""

    record_count: int
    reason: str


Record = Union[
    RunBegin,
    RunEnd,
    TaskBegin,
    TaskEnd,
    TaskData,
    Specification,
    StudyBegin,
    StudyEnd,
    TrialBegin,
    TrialReport,
    TrialEnd,
    TrialClose,
    Annotation,
    Telemetry,
    Environment,
    Lost,
]

KINDS = {
    "rb": RunBegin,
    "re": RunEnd,
    "tb": TaskBegin,
    "te": TaskEnd,
    "td": TaskData,
    "sp": Specification,
    "sb": StudyBegin,
    "se": StudyEnd,
    "ib": TrialBegin,
    "ir": TrialReport,
    "ie": TrialEnd,
    "ic": TrialClose,
    "an": Annotation,
    "tm": Telemetry,
    "en": Environment,
    "lo": Lost,
}
