"""What capture emits and the store keeps: one record type for each event of an execution.

Every record is a tuple, so that encoding one costs nothing but its values. Times are microseconds since
the epoch, UTC. Ids are text: those of runs and of data items are unique in the world, that of a task is
unique among the tasks of its run and transformation.
"""

from __future__ import annotations

from optiprov.records.dependencies import qualify_dependency, read_dependency
from optiprov.records.identity import base_key, item_key, new_id, number_of, numbered_key, task_key
from optiprov.records.types import (
    KINDS,
    Annotation,
    Environment,
    Item,
    Lost,
    Record,
    RunBegin,
    RunEnd,
    Specification,
    Status,
    StudyBegin,
    StudyEnd,
    TaskBegin,
    TaskData,
    TaskEnd,
    Telemetry,
    TrialBegin,
    TrialClose,
    TrialEnd,
    TrialReport,
    now_us,
)

__all__ = [
    "KINDS",
    "Annotation",
    "Environment",
    "Item",
    "Lost",
    "Record",
    "RunBegin",
    "RunEnd",
    "Specification",
    "Status",
    "StudyBegin",
    "StudyEnd",
    "TaskBegin",
    "TaskData",
    "TaskEnd",
    "Telemetry",
    "TrialBegin",
    "TrialClose",
    "TrialEnd",
    "TrialReport",
    "base_key",
    "item_key",
    "new_id",
    "now_us",
    "number_of",
    "numbered_key",
    "qualify_dependency",
    "read_dependency",
    "task_key",
]
