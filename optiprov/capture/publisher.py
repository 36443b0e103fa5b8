"""Sends a spool to the service: batches by MQTT QoS 1, freed when the service acknowledges their commit."""

from __future__ import annotations

import queue
import threading
import time
from typing import TYPE_CHECKING, Any, Optional, Tuple

from optiprov.capture.background import importing
from optiprov.capture.spool import free_acknowledged
from optiprov.capture.spool_reader import Chunk
from optiprov.capture.warnings import warn
from optiprov.wire import (
    SERVICE_TOPIC,
    BrokerAddress,
    Header,
    ack_topic,
    encode_batch,
    records_topic,
    service_topic,
)

if TYPE_CHECKING:
    from optiprov.capture.spool_reader import SpoolReader
    from optiprov.capture.spool_state import SpoolState

_MAX_BATCH_RECORDS = 4000
_MAX_BATCH_BYTES = 512 << 10
_MAX_UNACKNOWLEDGED = 20 * _MAX_BATCH_RECORDS
_COALESCE_S = 0.002  # records that come this close go together
_IDLE_S = 0.5
_RESEND_AFTER_S = 3.0  # without progress of the mark
_RESEND_AFTER_MAX_S = 30.0
_HEARTBEAT_S = 25.0  # without a batch: a service that hears nothing for long takes the process for ended
_SAME_REQUEST_S = 1.0  # a service that asks again for the same within this time had not seen the answer yet
_UNHEARD_FLUSH_S = 2.0  # a flush that waits for less says nothing where no service was heard
_STOP_S = 2.0


class Publisher:
    """A background thread that publishes what a spool holds until all of it is acknowledged.

    The state of sending is one number, the next record to send. Any break (a new connection, a service that
    says it is up or asks for it, no progress for a while) sets it back to behind what the service has: what
    arrives twice is dropped there.

    Args:
        spool: a reader of its own of the spool's directory.
        state: the spool's counters; this is the only writer of `acked`.
        header: who the client is; `first` and `oldest` are filled in for each batch.
        broker: where to send.
        topic: the part of the topic that PROVLIGHT_SERVER_TOPIC names.
    """

    def __init__(
        self, spool: SpoolReader, state: SpoolState, header: Header, broker: BrokerAddress, topic: str
    ) -> None:
        self._spool = spool
        self._directory = spool.directory
        self._state = state
        self._header = header
        self._broker = broker
        self._topic = records_topic(topic, header.client, broker.prefix)
        self._mqtt: Any = None
        self._connected = False
        self._is_answered = False  # by the broker, since the connection was made
        self._has_connected = False  # a broker that answered once is worth waiting for
        self._doubts_service = True  # until one acknowledges something, or the doubt is told
        self._refused = threading.Event()
        self._rewind_to: Optional[int] = None
        self._asked: Tuple[int, float] = (-1, 0.0)  # the mark the service last asked to go on from, and when
        self._published_at = time.monotonic()
        self._stopping = False
        # Not an Event: `notify` may run in a signal handler that interrupts itself; an Event would lock up.
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._progress = threading.Condition()
        self._last_progress = time.monotonic()
        self._resend_after_s = _RESEND_AFTER_S
        self.idle = False
        self._thread = threading.Thread(target=self._run, name="optiprov-publisher", daemon=True)

    def start(self) -> None:
        """Start sending."""
        import logging  # noqa: F401 - here, not in the thread: see optiprov.capture.background

        try:
            self._thread.start()
        except RuntimeError as error:  # no more threads, or the interpreter is ending
            warn("provenance is kept in %s, not sent: %s", self._directory, error)
            self._refused.set()

    def notify(self) -> None:
        """Say that the spool has a new record; costs next to nothing while the thread is busy."""
        if self.idle:
            self.idle = False
            self._wake.put(None)

    def flush(self, head: int, timeout_s: float) -> bool:
        """Wait until every record up to `head` is stored; False where time is up or no broker answers."""
        deadline = time.monotonic() + timeout_s
        self._wake.put(None)
        while self._state.acked < head:
            left = deadline - time.monotonic()
            if left <= 0 or (self._refused.is_set() and not self._has_connected):
                if timeout_s >= _UNHEARD_FLUSH_S:
                    self._tell_unheard()
                return False
            with self._progress:
                self._progress.wait(min(left, 0.05))
        return True

    def stop(self, timeout_s: float = _STOP_S) -> bool:
        """Stop sending; what is not acknowledged stays in the spool.

        Args:
            timeout_s: how long the end of the thread, which disconnects, is waited for.

        Returns:
            Whether the thread has ended: while it has not, the spool's state may not be closed.
        """
        self._stopping = True
        self._wake.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._connect()
            while not self._stopping:
                self._wait()
                self._send()
        except Exception as error:  # noqa: BLE001 - the boundary of this thread: capture never raises
            warn("sending provenance has stopped (%r); it stays in %s", error, self._directory)
            self._refused.set()
        finally:
            self._disconnect()
            self._spool.close()

    def _wait(self) -> None:
        self.idle = True
        if not self._can_send():  # after `idle`, so that a record that comes now is seen here or wakes us
            try:
                self._wake.get(timeout=_IDLE_S)
                while True:
                    self._wake.get_nowait()
            except queue.Empty:
                pass
        self.idle = False
        if not self._stopping:
            time.sleep(_COALESCE_S)

    def _can_send(self) -> bool:
        if self._stopping or not self._connected:
            return self._stopping
        waiting = self._rewind_to is not None or self._spool.has_more()
        return waiting and not self._window_is_full()

    def _window_is_full(self) -> bool:
        return self._rewind_to is None and self._spool.next - 1 - self._state.acked > _MAX_UNACKNOWLEDGED

    def _send(self) -> None:
        stalled = self._spool.next - 1 > self._state.acked
        if stalled and time.monotonic() - self._last_progress > self._resend_after_s:
            self._resend_after_s = min(2 * self._resend_after_s, _RESEND_AFTER_MAX_S)
            self._last_progress = time.monotonic()
            self._rewind_to = self._state.acked + 1
            if self._resend_after_s > 2 * _RESEND_AFTER_S:
                self._tell_unheard()
        while self._connected and not self._stopping:
            target, self._rewind_to = self._rewind_to, None
            if target is not None:
                self._spool.seek(target)
            if self._window_is_full():
                return
            chunk = self._spool.read(_MAX_BATCH_RECORDS, _MAX_BATCH_BYTES)
            if not chunk.records:
                self._say_alive()
                return
            if chunk.first == self._state.acked + 1:
                self._last_progress = time.monotonic()
            self._publish(chunk)
            if len(chunk.records) < _MAX_BATCH_RECORDS:
                return  # what is being emitted now goes together a moment later

    def _say_alive(self) -> None:
        """Publish a batch without records where there was none for a while."""
        if time.monotonic() - self._published_at > _HEARTBEAT_S:
            self._publish(Chunk(self._spool.next, [], b""))

    def _publish(self, chunk: Chunk) -> None:
        self._published_at = time.monotonic()
        self._state.head = max(self._state.head, self._spool.next - 1)
        oldest = min(chunk.first, self._spool.oldest())
        header = self._header._replace(first=chunk.first, oldest=oldest)
        message = encode_batch(header, chunk.records, self._spool.shapes, chunk.slots)
        self._mqtt.publish(self._topic, message, qos=1)

    def _connect(self) -> None:
        with importing():
            import encodings.idna  # noqa: F401 - to look up the broker's address, paho's thread imports it

            from optiprov.wire import session  # here: it imports sockets, which an import of capture need not

            self._mqtt = session.new_session(self._broker, "optiprov-" + self._header.client)
        self._mqtt.max_inflight_messages_set(50)
        self._mqtt.on_connect = self._on_connect
        self._mqtt.on_subscribe = self._on_subscribe
        self._mqtt.on_disconnect = self._on_disconnect
        self._mqtt.on_connect_fail = self._on_connect_fail
        self._mqtt.on_message = self._on_message
        session.start(self._mqtt, self._broker)

    def _disconnect(self) -> None:
        if self._mqtt is not None:
            self._mqtt.disconnect()
            self._mqtt.loop_stop()

    def _on_connect(self, mqtt: Any, _data: object, _flags: object, code: Any, _properties: object) -> None:
        self._is_answered = True
        if code.is_failure:
            self._refuse(f"it refuses the connection: {code}")
            return
        prefix = self._broker.prefix
        mqtt.subscribe([(ack_topic(self._header.client, prefix), 1), (service_topic(prefix), 1)])

    def _on_subscribe(self, _mqtt: Any, _data: object, _id: int, codes: Any, _properties: object) -> None:
        if any(code.is_failure for code in codes):
            self._refuse(
                "it refuses the subscription to acknowledgements. Give the user the right to read them"
            )
            return
        self._connected = self._has_connected = True
        self._refused.clear()
        self._again(self._state.acked + 1)

    def _on_disconnect(self, *_: object) -> None:
        self._connected = False
        if not self._is_answered and not self._stopping:
            from optiprov.wire.session import NO_ANSWER

            self._refuse(NO_ANSWER)
        self._is_answered = False

    def _on_connect_fail(self, *_: object) -> None:
        from optiprov.wire.session import why_no_connection

        self._refuse(why_no_connection())

    def _refuse(self, reason: str) -> None:
        """Say once, until a broker takes us again, why nothing is sent."""
        if not self._refused.is_set():
            warn("broker %s: %s; provenance is kept in %s", self._broker.url, reason, self._directory)
        self._refused.set()

    def _tell_unheard(self) -> None:
        """Say once that the broker takes what no service acknowledges: another prefix, or none runs."""
        if not self._doubts_service or not self._connected:
            return
        self._doubts_service = False
        warn(
            "broker %s takes provenance, but no service acknowledges it. Does one use this broker, with the"
            " same path in its address? That is the prefix of topics: this client publishes to %s, and its"
            " provenance is kept in %s",
            *(self._broker.url, self._topic, self._directory),
        )

    def _on_message(self, _mqtt: object, _data: object, message: Any) -> None:
        if self._stopping:
            return
        if message.topic.endswith(SERVICE_TOPIC):  # below the prefix
            self._again(self._state.acked + 1)
            return
        self._doubts_service = False
        mark, resend = _read_ack(message.payload)
        if mark is None or mark > max(self._state.head, self._spool.next - 1):
            return
        if mark > self._state.acked:
            self._state.acked = mark
            self._last_progress = time.monotonic()
            self._resend_after_s = _RESEND_AFTER_S
            free_acknowledged(self._directory, mark)
            with self._progress:
                self._progress.notify_all()
            self.notify()
        if resend and self._is_new_request(mark):
            self._again(mark + 1)  # below our own mark where the service has another store than before

    def _is_new_request(self, mark: int) -> bool:
        last_mark, asked_at = self._asked
        now = time.monotonic()
        if mark == last_mark and now - asked_at < _SAME_REQUEST_S:
            return False
        self._asked = (mark, now)
        return True

    def _again(self, number: int) -> None:
        self._rewind_to = number
        self._wake.put(None)


def _read_ack(payload: bytes) -> Tuple[Optional[int], bool]:
    """Read an acknowledgement: the mark in decimal, and an R where the service wants the rest again."""
    resend = payload.endswith(b"R")
    digits = payload[:-1] if resend else payload
    return (int(digits) if digits.isdigit() and len(digits) < 20 else None), resend
