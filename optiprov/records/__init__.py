"""What capture emits and the store keeps: one record type for each event of an execution.

Every record is a tuple, so that encoding one costs nothing but its values. Times are microseconds since
the epoch, UTC. Ids are text: a run id is unique in the world, a task id is unique in its run, an item id
is unique in the world.
"""

from __future__ import annotations

from optiprov.records.dependencies import qualify_dependency, read_dependency
from optiprov.records.identity import item_key, new_id, task_key
from optiprov.records.types import (
    KINDS,
    Annotation,
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
    TrialBegin,
    TrialClose,
    TrialEnd,
    TrialReport,
    now_us,
)

__all__ = [
    "KINDS",
    "Annotation",
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
    "TrialBegin",
    "TrialClose",
    "TrialEnd",
    "TrialReport",
    "item_key",
    "new_id",
    "now_us",
    "qualify_dependency",
    "read_dependency",
    "task_key",
]
