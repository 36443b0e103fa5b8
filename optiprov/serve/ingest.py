"""Ingest: MQTT messages become commits, and commits become acknowledgements."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optiprov.errors import InputError, StoreError, WorkError
from optiprov.serve.intake import Intake, Unreadable
from optiprov.serve.lane import Lane
from optiprov.wire import SHARDS, Batch, BrokerAddress, ack_topic, lane_of, service_topic

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from optiprov.serve.commits import Commits
    from optiprov.serve.owned_store import OwnedStore
    from optiprov.store.writer import Ack, Outcome

_log = logging.getLogger(__name__)

MAX_LANES = SHARDS
_MAX_COMMIT_RECORDS = 40_000
_MAX_COMMIT_BYTES = 8 << 20
_CONNECT_TIMEOUT_S = 10.0
_RETRY_S = 1.0
_POLL_S = 0.5


@dataclass
class Counts:
    """What has passed since the service started; lost is what was counted, less what has come after all."""

    records: int = 0
    rejected: int = 0
    lost: int = 0


class Ingest:
    """Receives batches from the broker, commits them, and acknowledges each client's mark.

    Lanes receive and decode, a thread each, lanes by client; one thread commits. A message that is dropped
    at any point costs nothing but time: its client sends it again, since no acknowledgement came.

    Args:
        store: the store; from `start` on its writer belongs to the committing thread.
        broker: the broker's address.
        commits: told of each commit.
        lanes: how many connections receive and decode.
        tls_context: for the connections, in place of the one that the address asks for.

    Raises:
        InputError: there are fewer lanes than one, or more than shards.
    """

    def __init__(
        self,
        store: OwnedStore,
        broker: BrokerAddress,
        commits: Commits,
        *,
        lanes: int = 1,
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        if not 1 <= lanes <= MAX_LANES:
            raise InputError(f"A service has 1 to {MAX_LANES} ingest lanes, got {lanes}.")
        self.counts = Counts()
        self.has_failed = False
        self._store = store
        self._broker = broker
        self._commits = commits
        self._intake = Intake()
        self._stopping = threading.Event()
        self._is_failing = False  # since a commit failed, until one succeeds
        self._lanes = [
            Lane(number, lanes, broker, self._intake, self._on_ready, tls_context) for number in range(lanes)
        ]
        self._thread = threading.Thread(target=self._run, name="optiprov-committer", daemon=True)
        commits.notify(store.writer.commit_id, store.writer.marks)

    @property
    def is_connected(self) -> bool:
        """Whether the broker is reached, by every lane."""
        return all(lane.is_connected for lane in self._lanes)

    @property
    def dropped_messages(self) -> int:
        """How many messages found no room; their clients send them again."""
        return self._intake.dropped

    @property
    def messages_by_lane(self) -> list[int]:
        """How many messages each lane has received."""
        return [lane.messages for lane in self._lanes]

    def start(self) -> None:
        """Connect and start committing.

        Raises:
            WorkError: the broker does not answer, or refuses the service.
        """
        for lane in self._lanes:
            lane.start()
        self._thread.start()
        deadline = time.monotonic() + _CONNECT_TIMEOUT_S
        for lane in self._lanes:
            if not lane.subscribed.wait(max(0.0, deadline - time.monotonic())):
                self.stop()
                raise WorkError(
                    f"The MQTT broker {self._broker.url} cannot be used: {lane.problem}. "
                    "Start it, give the right address and credentials, or use --broker embedded."
                )

    def stop(self) -> None:
        """Commit and acknowledge what has arrived, then disconnect."""
        self._stopping.set()
        for lane in self._lanes:
            lane.unsubscribe()
        self._intake.wake()
        self._thread.join()
        for lane in self._lanes:
            lane.stop()

    def _on_ready(self) -> None:
        if all(lane.subscribed.is_set() for lane in self._lanes):
            self._ask_again()

    def _ask_again(self) -> None:
        """Have every client send again what is not acknowledged."""
        self._lanes[0].publish(service_topic(self._broker.prefix), b"up")

    def _run(self) -> None:
        try:
            while True:
                messages = self._intake.take(_MAX_COMMIT_RECORDS, _MAX_COMMIT_BYTES, _POLL_S)
                if messages:
                    self._commit(messages)
                elif self._stopping.is_set():
                    return
                self._close_silent()
        except Exception:  # noqa: BLE001 - the boundary of this thread; the service ends
            _log.exception("ingest has stopped; nothing is acknowledged any more")
            self.has_failed = True

    def _commit(self, messages: Sequence[Batch | Unreadable]) -> None:
        batches = [message for message in messages if isinstance(message, Batch)]
        unreadable = [message for message in messages if isinstance(message, Unreadable)]
        try:
            if batches:
                self._store.heartbeats.heard(batch.header.client for batch in batches)
                self._note(self._store.writer.commit(batches))
            if unreadable:
                self._note(self._store.writer.reject_messages(unreadable))
        except Exception as error:  # engines raise anything once they are out of order
            if not isinstance(error, StoreError) and self._store.answers():
                raise
            self._wait_for_store(error)
        else:
            if self._is_failing:
                _log.warning("the store takes records again")
                self._is_failing = False
                self._ask_again()

    def _close_silent(self) -> None:
        """Close the runs of silent clients, and count what they lack, unless none can be heard."""
        if self._is_failing or not self.is_connected:
            self._store.heartbeats.forgive()
            return
        try:
            done = self._store.heartbeats.close_silent()
        except Exception as error:  # as in a commit
            if not isinstance(error, StoreError) and self._store.answers():
                raise
            self._wait_for_store(error)
            return
        self.counts.lost += done.lost
        if done.closed or done.lost:
            self._commits.notify(self._store.writer.commit_id, {})

    def _wait_for_store(self, error: Exception) -> None:
        """Wait a moment, or until a store that does not answer any more is open again."""
        if not self._is_failing:
            _log.error("nothing is acknowledged until the store takes records again: %s", error)
        self._is_failing = True
        while not self._stopping.wait(_RETRY_S):
            if self._store.answers():
                return
            try:
                self._store.reopen()
            except StoreError as reason:
                _log.warning("the store cannot be opened again yet: %s", reason)
                continue
            _log.warning("the store has been opened again")
            self._ask_again()
            return

    def _note(self, outcome: Outcome) -> None:
        self.counts.records += outcome.records
        self.counts.rejected += outcome.rejected
        self.counts.lost = max(0, self.counts.lost + outcome.lost)  # below 0: counted before, and here now
        self._commits.notify(outcome.commit_id, {client: ack.mark for client, ack in outcome.acks.items()})
        for client, ack in outcome.acks.items():
            self._acknowledge(client, ack)

    def _acknowledge(self, client: str, ack: Ack) -> None:
        lane = self._lanes[lane_of(client, len(self._lanes))]
        lane.publish(ack_topic(client, self._broker.prefix), f"{ack.mark}{'R' if ack.resend else ''}")
