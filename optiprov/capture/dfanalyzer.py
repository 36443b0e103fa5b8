"""Tasks as DfAnalyzer's users write them: a task collects data sets and is sent at its begin and its end.

    task = Task(1, "digits", "training")
    task.add_dataset(DataSet("training_input", [Element([3, 12, 2, "sgd"])]))
    task.begin()
    task.add_dataset(DataSet("training_output", [Element([0.93])]))
    task.end()

The tasks of a dataflow in one process belong to one run, which begins with the first of them and ends with
the process. The values of an element are those of the specified attributes, in order.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from enum import Enum
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

from optiprov.capture.client import get_client
from optiprov.capture.data import listed
from optiprov.capture.specification import saved_inputs, saved_role
from optiprov.capture.warnings import warn
from optiprov.capture.workflow import Workflow
from optiprov.records import Item, Status, TaskBegin, TaskData, TaskEnd, now_us, qualify_dependency

VALUES = "values in order"  # no attribute's name, so that the store lays the list on the specified ones


class TaskStatus(Enum):
    """How a task stands."""

    READY = "READY"
    RUNNING = "RUNNING"
    FINISHED = "FINISHED"


class MethodType(Enum):
    """How a performance was measured."""

    COMPUTATION = "COMPUTATION"
    PROVENANCE = "PROVENANCE"
    COMMUNICATION = "COMMUNICATION"


class File:
    """A file as a value of an element.

    Args:
        path: where it lies.
        name: its name.
    """

    def __init__(self, path: Union[str, os.PathLike[str]], name: str = "") -> None:
        self.path = os.fspath(path)
        self.name = name

    def __fspath__(self) -> str:
        return self.path


class Element:
    """One row of a data set.

    Args:
        values: of the specified attributes, in order.
    """

    def __init__(self, values: Sequence[Any]) -> None:
        self.values: List[Any] = listed(values)


class DataSet:
    """Rows of a dataset that a task uses or generates.

    Args:
        tag: name of the dataset.
        elements: its rows.
    """

    def __init__(self, tag: str, elements: Sequence[Element] = ()) -> None:
        self._tag = str(tag)
        self.elements: List[Element] = listed(elements)

    @property
    def tag(self) -> str:
        """Name of the dataset."""
        return self._tag

    def add_element(self, element: Element) -> None:
        """Append a row."""
        self.elements.append(element)


class Dependency:
    """Tasks that a task waited for.

    Args:
        tags: their transformations.
        ids: their ids, one for each transformation.
    """

    def __init__(self, tags: Sequence[str], ids: Sequence[Union[str, int]]) -> None:
        self.tags = [str(tag) for tag in listed(tags)]
        self.ids = [str(one) for one in listed(ids)]

    def tasks(self) -> List[str]:
        """Return each task as records name it."""
        if len(self.tags) != len(self.ids):
            return self.ids
        return [qualify_dependency(*pair) for pair in zip(self.tags, self.ids)]


class Performance:
    """When a task began and ended, where that was measured by the application.

    Args:
        start_time: in local time, `2024-01-31 23:59:59`.
        end_time: in local time as well.
        method: how it was measured.
        description: what was measured.
    """

    def __init__(
        self,
        start_time: Optional[str],
        end_time: Optional[str],
        method: Union[MethodType, str] = "",
        description: str = "",
    ) -> None:
        self.start_time = start_time
        self.end_time = end_time
        self.method = method
        self.description = description


class Task:
    """One execution of a transformation.

    Args:
        id: unique among the tasks of its transformation in a run.
        dataflow_tag: name of the dataflow.
        transformation_tag: name of the transformation.
        sub_id: makes the id `<id>.<sub_id>`.
        dependency: a task that this one waited for, or a `Dependency`.
        workspace: accepted as DfAnalyzer does, and not recorded.
        resource: the host it runs on; by default this one.
        output: accepted as DfAnalyzer does, and not recorded.
        error: what went wrong, recorded with its end.
    """

    def __init__(
        self,
        id: Union[str, int],
        dataflow_tag: str,
        transformation_tag: str,
        sub_id: Union[str, int] = "",
        dependency: Union[Task, Dependency, None] = None,
        workspace: str = "",
        resource: str = "",
        output: str = "",
        error: str = "",
    ) -> None:
        self._id = f"{id}.{sub_id}" if sub_id not in ("", None) else str(id)
        self._dataflow = str(dataflow_tag)
        self._tag = str(transformation_tag)
        self.workspace, self.resource, self.output, self.error = workspace, resource, output, error
        self._status = TaskStatus.READY
        self._has_begun = self._has_ended = False
        self._performances: List[Performance] = []
        self._dependencies: List[str] = []
        self._waited_for: List[Task] = []
        self._unsent: List[Tuple[Optional[str], Item]] = []
        self._generated: List[Item] = []
        if dependency is not None:
            self.add_dependency(dependency)

    @property
    def id(self) -> str:
        """Its id."""
        return self._id

    @property
    def transformation(self) -> str:
        """Name of its transformation."""
        return self._tag

    @property
    def generated(self) -> List[Item]:
        """References to what it has generated so far."""
        return list(self._generated)

    def add_dependency(self, dependency: Union[Task, Dependency]) -> None:
        """Note a task that this one waited for; what that one generated for this transformation is used."""
        if isinstance(dependency, Task):
            self._waited_for.append(dependency)
            self._dependencies.append(qualify_dependency(dependency.transformation, dependency.id))
        else:
            self._dependencies += dependency.tasks()

    def set_datasets(self, datasets: Sequence[DataSet]) -> None:
        """Add data sets."""
        for dataset in listed(datasets):
            self.add_dataset(dataset)

    def add_dataset(self, dataset: DataSet) -> None:
        """Add the rows of a data set; they are sent with the task's begin, end or `save()`.

        Where this process has saved the dataflow's specification, that says which sets are used and which
        generated; otherwise those that are there when the task begins are used.
        """
        role = saved_role(self._dataflow, self._tag, dataset.tag)
        for element in dataset.elements:
            attributes = {VALUES: list(element.values)}
            item_id = get_client().new_item_id()
            self._unsent.append((role, Item(item_id, dataset.tag, self._dataflow, [], attributes, None)))

    def add_performance(self, performance: Performance) -> None:
        """Give the times at which the task began and ended, in place of those of the calls."""
        self._performances.append(performance)

    def set_status(self, status: TaskStatus) -> None:
        """Set how the task stands; `save()` sends it."""
        self._status = TaskStatus(status)

    def begin(self) -> None:
        """Begin the task."""
        self.set_status(TaskStatus.RUNNING)
        self.save()

    def end(self) -> None:
        """End the task."""
        self.set_status(TaskStatus.FINISHED)
        self.save()

    def save(self) -> None:
        """Send what is new: the begin, the end, and the data sets since the last call."""
        if self._status is TaskStatus.READY:
            return
        run = _run_of(self._dataflow)
        if not self._has_begun:
            self._has_begun = True
            used, others = self._split(default="used")
            self._begin(run, [*self._inherited(), *used])
            self._waited_for.clear()  # a chain of tasks would keep each other in memory
            self._send(run, "generated", others)
        if self._status is TaskStatus.RUNNING:
            used, generated = self._split(default="generated")
            self._send(run, "used", used)
            self._send(run, "generated", generated)
        elif not self._has_ended:
            self._has_ended = True
            used, generated = self._split(default="generated")
            self._send(run, "used", used)
            self._end(run, generated)

    def _split(self, default: str) -> Tuple[List[Item], List[Item]]:
        """Take what is unsent, as used and generated items."""
        taken, self._unsent = self._unsent, []
        roles = [(role or default, item) for role, item in taken]
        generated = [item for role, item in roles if role == "generated"]
        self._generated += [one._replace(derived_from=[], attributes=None) for one in generated]
        return [item for role, item in roles if role == "used"], generated

    def _inherited(self) -> List[Item]:
        """Refer to what the tasks before generated in datasets that this transformation uses."""
        inputs = saved_inputs(self._dataflow, self._tag)
        return [item for task in self._waited_for for item in task.generated if item.dataset in inputs]

    def _begin(self, run: Workflow, used: List[Item]) -> None:
        started_us = self._measured_us("start_time")
        run.emit(
            TaskBegin(
                run.run_id,
                self._id,
                self._tag,
                self._dataflow,
                started_us,
                self._dependencies,
                used,
                self.resource or None,
                None,
            )
        )

    def _send(self, run: Workflow, role: str, items: List[Item]) -> None:
        for item in items:
            run.emit(
                TaskData(
                    run.run_id,
                    self._id,
                    self._tag,
                    self._dataflow,
                    role,
                    item.item_id,
                    item.dataset,
                    [],
                    item.attributes or {},
                )
            )

    def _end(self, run: Workflow, generated: List[Item]) -> None:
        ended_us = self._measured_us("end_time")
        status = Status.FAILED if self.error else Status.FINISHED
        error = str(self.error) if self.error else None
        run.emit(TaskEnd(run.run_id, self._id, self._tag, self._dataflow, ended_us, status, generated, error))

    def _measured_us(self, name: str) -> int:
        """Return a time that a performance gives, in microseconds, or the present one."""
        times = [getattr(one, name) for one in self._performances if getattr(one, name)]
        if not times:
            return now_us()
        from datetime import datetime

        try:
            return round(datetime.fromisoformat(str(times[-1])).timestamp() * 1_000_000)
        except (ValueError, OverflowError, OSError):
            warn("%r is no time; the present one is recorded instead", times[-1])
            return now_us()


_runs: Dict[str, Workflow] = {}
_beginning = threading.RLock()


def _run_of(dataflow: str) -> Workflow:
    """Return this process's run of a dataflow; it begins with the first call and ends with the process."""
    run = _runs.get(dataflow)
    if run is None:
        with _beginning:
            run = _runs.get(dataflow)
            if run is None:
                run = Workflow(dataflow)
                run.begin()
                if not _runs:
                    atexit.register(_end_runs)  # behind the client's own, and so called before it
                _runs[dataflow] = run
    return run


def _end_runs() -> None:
    status = Status.FAILED if getattr(sys, "last_value", None) is not None else Status.FINISHED
    while _runs:
        _, run = _runs.popitem()
        run.end(status)


def _after_fork_in_child() -> None:
    global _beginning
    _runs.clear()  # a run of its own begins with its first task
    _beginning = threading.RLock()


os.register_at_fork(after_in_child=_after_fork_in_child)
