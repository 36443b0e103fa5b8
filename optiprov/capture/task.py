"""Tasks: executions of a transformation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Iterable, List, Optional, Type, Union

from optiprov.capture.data import Data, keep_new, listed, rows_of, to_items, to_list
from optiprov.capture.packing import CAN_PACK, Packing, codes_of_item
from optiprov.capture.warnings import warn
from optiprov.records import Status, TaskBegin, TaskEnd, Telemetry, now_us, qualify_dependency
from optiprov.wire import BEGIN, END

if TYPE_CHECKING:
    import datetime
    from types import TracebackType

    from optiprov.capture.workflow import Workflow
    from optiprov.telemetry.sampler import Sampler

Time = Union["datetime.datetime", float, None]


class Task:
    """One execution of a transformation, from `begin()` to `end()`, or as a `with` block.

    Args:
        id: unique among the tasks of its transformation in a run, an int or text.
        workflow: the run it belongs to.
        transformation_id: name of the transformation, an int or text.
        dependencies: ids of tasks, or `Task` objects, that this one waited for.
        started_at: when it began, where it happened elsewhere: an aware datetime or seconds since the epoch.
        ended_at: when it ended.
        host: where it ran.
        agent: who or what ran it.
    """

    def __init__(
        self,
        id: Union[str, int],
        workflow: Workflow,
        transformation_id: Union[str, int],
        dependencies: Union[Iterable[Union[Task, str, int]], Task, str, int, None] = (),
        *,
        started_at: Time = None,
        ended_at: Time = None,
        host: Optional[str] = None,
        agent: Optional[str] = None,
    ) -> None:
        self._id: Union[int, str] = id if id.__class__ is int else str(id)
        self.workflow = workflow
        self.transformation = (
            transformation_id if transformation_id.__class__ is str else str(transformation_id)
        )
        given = dependencies if dependencies.__class__ is list else listed(dependencies)
        self.dependencies: List[str] = _qualified(given) if given else []
        self._started_at = started_at
        self._ended_at = ended_at
        self._host = host if host is None else str(host)
        self._agent = agent if agent is None else str(agent)
        # Nothing but an id and a time: its begin may be packed.
        self._is_plain = not given and started_at is None and host is None and agent is None

    @property
    def id(self) -> str:
        """The task's id."""
        return str(self._id)

    def begin(self, data: Union[Data, Iterable[Data], None] = None) -> None:
        """Begin the task, which uses these data items."""
        packing = self.workflow.packed_begins.get(self.transformation)
        is_plain = self._is_plain and not self.dependencies
        if packing is None or not (is_plain and packing.write(self._id, data)):
            self._begin(data)

    def _begin(self, data: Any) -> None:
        run = self.workflow
        if run.sampler is not None:
            self._sample(run.sampler, "begin")
        if self._is_plain and self._pack(BEGIN, run.packed_begins, data):
            return
        started_us = now_us() if self._started_at is None else _microseconds(self._started_at)
        client, _ = run.counted()
        items = data if type(data) is list else to_list(data)
        row: List[Any] = [self._id, started_us, self.dependencies]
        shapes = rows_of(items, row, client)
        if shapes is not None:
            common = (BEGIN, run.run_id, run.dataflow_id, self.transformation, self._host, self._agent, None)
            if client.emit_row((*common, shapes), row):
                return
            keep_new(items)
        client.emit(
            TaskBegin(
                run.run_id,
                self.id,
                self.transformation,
                run.dataflow_id,
                started_us,
                self.dependencies,
                to_items(items),
                self._host,
                self._agent,
            )
        )

    def end(
        self,
        data: Union[Data, Iterable[Data], None] = None,
        *,
        status: str = Status.FINISHED,
        error: Optional[str] = None,
    ) -> None:
        """End the task, which has generated these data items."""
        if status == Status.FINISHED and error is None and self._ended_at is None:
            packing = self.workflow.packed_ends.get(self.transformation)
            if packing is not None and packing.write(self._id, data):
                return
            if self._pack(END, self.workflow.packed_ends, data):
                return
        self._end(data, status, error)

    def _end(self, data: Any, status: str, error: Optional[str]) -> None:
        run = self.workflow
        ended_us = now_us() if self._ended_at is None else _microseconds(self._ended_at)
        client, _ = run.counted()
        items = data if type(data) is list else to_list(data)
        row: List[Any] = [self._id, ended_us]
        shapes = rows_of(items, row, client) if error is None else None
        if shapes is not None:
            common = (END, run.run_id, run.dataflow_id, self.transformation, None, None, status)
            if client.emit_row((*common, shapes), row):
                if run.sampler is not None:
                    self._sample(run.sampler, "end")
                return
            keep_new(items)
        if status not in Status.ENDS:
            warn("task %s: a status is one of %s, got %r; its end is rejected", self.id, Status.ENDS, status)
        generated = to_items(items)
        client.emit(
            TaskEnd(
                *(run.run_id, self.id, self.transformation, run.dataflow_id),
                *(ended_us, status, generated, error),
            )
        )
        if run.sampler is not None:
            self._sample(run.sampler, "end")

    def _pack(self, kind: str, packings: Dict[str, Packing], data: Any) -> bool:
        """Store an event as a packed row, and its like from now on; False where it cannot be packed."""
        codes = codes_of_item(data)
        if codes is None or not CAN_PACK or self.workflow.sampler is not None:
            return False
        run, item = self.workflow, data[0]
        status = Status.FINISHED if kind == END else None
        items = ((item.dataset, item.dataflow_id, tuple(item.attributes)),)
        shape = (kind, run.run_id, run.dataflow_id, self.transformation, None, None, status, items, codes)
        packing = packings[self.transformation] = Packing(*run.counting(), shape)
        return packing.write(self._id, data)

    def _sample(self, sampler: Sampler, moment: str) -> None:
        """Sample outside of the task's time; what happened elsewhere or earlier has no sample here."""
        if self._started_at is None and self._ended_at is None and self._host is None:
            run, sampled_us = self.workflow, now_us()
            metrics = dict(sampler.sample())
            run.emit(Telemetry(run.run_id, self.id, self.transformation, moment, sampled_us, metrics))

    def __enter__(self) -> Task:
        self.begin()
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        if error is None:
            self.end()
            return
        import traceback

        self.end(status=Status.FAILED, error="".join(traceback.format_exception(kind, error, trace)))


def _qualified(given: List[Any]) -> List[str]:
    return [
        qualify_dependency(one.transformation, one.id) if isinstance(one, Task) else str(one) for one in given
    ]


def _microseconds(time: Time) -> int:
    if time is None:
        return now_us()
    try:
        seconds = time if isinstance(time, (int, float)) else time.timestamp()
        return round(seconds * 1_000_000)
    except (AttributeError, TypeError, ValueError, OverflowError):
        warn("%r is no time; the present one is recorded instead", time)
        return now_us()
