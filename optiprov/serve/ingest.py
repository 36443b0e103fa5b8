"""Ingest: MQTT messages become commits, and commits become acknowledgements."""

from __future__ import annotations

import logging
import queue
import socket
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from optiprov.errors import StoreError, WireError, WorkError
from optiprov.records import new_id
from optiprov.wire import RECORDS_FILTER, SERVICE_TOPIC, Batch, BrokerAddress, ack_topic, decode_batch

if TYPE_CHECKING:
    from paho.mqtt.reasoncodes import ReasonCode

    from optiprov.serve.commits import Commits
    from optiprov.store.writer import Ack, Outcome, Writer

_log = logging.getLogger(__name__)

_MAX_QUEUED_BYTES = 128 << 20  # what comes beyond is dropped, and sent again by its client
_MAX_COMMIT_RECORDS = 20_000
_CONNECT_TIMEOUT_S = 10.0
_RETRY_S = 1.0
_POLL_S = 0.5
_KEEPALIVE_S = 15


@dataclass
class Counts:
    """What has passed since the service started."""

    records: int = 0
    rejected: int = 0
    lost: int = 0
    dropped_messages: int = 0


class Ingest:
    """Receives batches from the broker, commits them, and acknowledges each client's mark.

    One thread (paho's) receives, one commits. A message that is dropped at any point costs nothing but
    time: its client sends it again, since no acknowledgement came.

    Args:
        writer: the store's writer; from `start` on it belongs to the committing thread.
        broker: the broker's address.
        commits: told of each commit.
    """

    def __init__(self, writer: Writer, broker: BrokerAddress, commits: Commits) -> None:
        self.counts = Counts()
        self._writer = writer
        self._broker = broker
        self._commits = commits
        self._queue: queue.Queue[bytes | None] = queue.Queue()
        self._queued_bytes = 0
        self._size_lock = threading.Lock()
        self._subscribed = threading.Event()
        self._stopping = False
        self.has_failed = False
        self._mqtt = self._make_client()
        self._thread = threading.Thread(target=self._run, name="optiprov-committer", daemon=True)
        commits.notify(writer.commit_id, writer.marks)

    @property
    def is_connected(self) -> bool:
        """Whether the broker is reached."""
        return bool(self._mqtt.is_connected())

    def start(self) -> None:
        """Connect and start committing.

        Raises:
            WorkError: the broker does not answer.
        """
        self._mqtt.connect_async(self._broker.host, self._broker.port, keepalive=_KEEPALIVE_S)
        self._mqtt.loop_start()
        self._thread.start()
        if not self._subscribed.wait(_CONNECT_TIMEOUT_S):
            self.stop()
            raise WorkError(
                f"No MQTT broker answers at {self._broker.url}. Start it, or use --broker embedded."
            )

    def stop(self) -> None:
        """Commit and acknowledge what has arrived, then disconnect."""
        self._stopping = True
        self._mqtt.unsubscribe(RECORDS_FILTER)
        self._queue.put(None)
        self._thread.join()
        self._mqtt.disconnect()
        self._mqtt.loop_stop()

    def _make_client(self) -> mqtt.Client:
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="optiprov-service-" + new_id())
        if self._broker.user is not None:
            client.username_pw_set(self._broker.user, self._broker.password)
        client.reconnect_delay_set(1, 5)
        client.on_socket_open = _send_at_once
        client.on_publish = _acknowledge_at_once
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        return client

    def _on_connect(
        self, client: mqtt.Client, _data: object, _flags: object, code: ReasonCode, *_: object
    ) -> None:
        if code.is_failure:
            _log.error("the broker %s refuses the connection: %s", self._broker.url, code)
            return
        client.subscribe(RECORDS_FILTER, qos=1)

    def _on_subscribe(self, client: mqtt.Client, *_: object) -> None:
        self._subscribed.set()
        client.publish(SERVICE_TOPIC, b"up", qos=1)

    def _on_message(self, client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        _acknowledge_at_once(client)
        size = len(message.payload)
        with self._size_lock:
            if self._queued_bytes + size > _MAX_QUEUED_BYTES and self._queued_bytes:
                self.counts.dropped_messages += 1
                return
            self._queued_bytes += size
        self._queue.put(bytes(message.payload))

    def _run(self) -> None:
        try:
            while True:
                payloads = self._take()
                if payloads:
                    self._commit(payloads)
                elif self._stopping:
                    return
        except Exception:  # noqa: BLE001 - the boundary of this thread; the service ends
            _log.exception("ingest has stopped; nothing is acknowledged any more")
            self.has_failed = True

    def _take(self) -> list[bytes]:
        """Return what has arrived, as much as one commit should hold; wait a moment where nothing has."""
        taken: list[bytes] = []
        try:
            first = self._queue.get(timeout=_POLL_S)
            while first is not None:
                taken.append(first)
                if len(taken) * 1000 >= _MAX_COMMIT_RECORDS:
                    break
                first = self._queue.get_nowait()
        except queue.Empty:
            pass
        with self._size_lock:
            self._queued_bytes -= sum(map(len, taken))
        return taken

    def _commit(self, payloads: list[bytes]) -> None:
        batches: list[Batch] = []
        unreadable: list[tuple[bytes, str]] = []
        for payload in payloads:
            try:
                batches.append(decode_batch(payload))
            except WireError as error:
                unreadable.append((payload, str(error)))
        try:
            if batches:
                self._note(self._writer.commit(batches))
            if unreadable:
                self._note(self._writer.reject_messages(unreadable))
        except StoreError as error:
            _log.error("nothing is acknowledged until the store takes records again: %s", error)
            time.sleep(_RETRY_S)

    def _note(self, outcome: Outcome) -> None:
        self.counts.records += outcome.records
        self.counts.rejected += outcome.rejected
        self.counts.lost += outcome.lost
        self._commits.notify(outcome.commit_id, {client: ack.mark for client, ack in outcome.acks.items()})
        for client, ack in outcome.acks.items():
            self._acknowledge(client, ack)

    def _acknowledge(self, client: str, ack: Ack) -> None:
        payload: Any = f"{ack.mark}{'R' if ack.resend else ''}"
        self._mqtt.publish(ack_topic(client), payload, qos=1)


def _send_at_once(_client: mqtt.Client, _data: object, connection: Any) -> None:
    """Turn off Nagle's algorithm: with delayed acknowledgements it adds 40 ms to each exchange."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _acknowledge_at_once(client: mqtt.Client, *_: object) -> None:
    """Have the kernel acknowledge what came: the broker's Nagle holds its next message back until then."""
    connection: Any = client.socket()
    if connection is not None and hasattr(socket, "TCP_QUICKACK"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
