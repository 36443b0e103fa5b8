"""Runs: executions of a dataflow."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Dict, Iterable, Iterator, Optional, Tuple, Type, Union

from optiprov.capture.client import Client, get_client
from optiprov.records import Record, RunBegin, RunEnd, Status, new_id, now_us

if TYPE_CHECKING:
    from optiprov.capture.packing import Packing
    from optiprov.telemetry.sampler import Sampler


class Workflow:
    """One execution of a dataflow, from `begin()` to `end()`.

    Where OPTIPROV_RUN_ID is set, the process joins that run instead of beginning one.

    Args:
        dataflow_id: id of the dataflow, an int or text.
        run_id: id of the run, by default a new one.
        campaign: by default from OPTIPROV_CAMPAIGN.
        agent: who or what is responsible, by default the user.
        telemetry: what of the process and its host is sampled as each task begins and ends: True for all, or
            some of "cpu", "memory", "disk" and "network"; by default what OPTIPROV_TELEMETRY says.
    """

    def __init__(
        self,
        dataflow_id: Union[str, int],
        *,
        run_id: Optional[str] = None,
        campaign: Optional[str] = None,
        agent: Optional[str] = None,
        telemetry: Union[bool, str, Iterable[str], None] = None,
    ) -> None:
        self.dataflow_id = str(dataflow_id)
        self.campaign = campaign
        self.agent = agent
        self.run_id = str(run_id or get_client().settings.run_id or new_id())
        asked = get_client().settings.telemetry if telemetry is None else telemetry
        self.sampler: Optional[Sampler] = None
        if asked:
            from optiprov.capture.telemetry import make_sampler

            self.sampler = make_sampler(asked)
        self._client: Optional[Client] = None
        self._numbers: Iterator[int] = itertools.count(1)
        # By transformation: how the tasks' begins and ends are packed that are like the last ones.
        self.packed_begins: Dict[str, Packing] = {}
        self.packed_ends: Dict[str, Packing] = {}

    def __getstate__(self) -> Dict[str, Any]:
        """Leave the client behind: in another process, the run goes on with that process's own."""
        return dict(self.__dict__, _client=None, _numbers=None, packed_begins={}, packed_ends={})

    def counting(self) -> Tuple[Client, Iterator[int]]:
        """Return who emits this process's part of the run, and what counts its records."""
        client = get_client()
        if client is not self._client:
            self._client = client
            self._numbers = itertools.count(1)
        return client, self._numbers

    def counted(self) -> Tuple[Client, int]:
        """Count one more record of this process's part of the run; return who emits it, and its number.

        A forked child has a client of its own, and counts its own part from 1 on.
        """
        client, numbers = self.counting()
        return client, next(numbers)

    def emit(self, record: Record) -> None:
        """Emit a record of this run and count it."""
        client, _ = self.counted()
        client.emit(record)

    def begin(self) -> None:
        """Begin the run."""
        client = get_client()
        campaign = self.campaign or client.settings.campaign
        self.emit(RunBegin(self.run_id, self.dataflow_id, now_us(), campaign, self.agent))
        client.capture_environment()

    def end(self, status: str = Status.FINISHED) -> None:
        """End the run (this process's part of it), and wait until it is stored, up to the flush deadline."""
        client, record_count = self.counted()
        client.emit(RunEnd(self.run_id, now_us(), status, record_count))
        client.flush_all()

    def __enter__(self) -> Workflow:
        self.begin()
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: object, trace: object) -> None:
        self.end(Status.FINISHED if kind is None else Status.FAILED)
