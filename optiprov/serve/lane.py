"""An ingest lane: a connection to the broker whose thread receives and decodes batches."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from optiprov.errors import WireError
from optiprov.records import new_id
from optiprov.serve.intake import Unreadable
from optiprov.wire import client_of, decode_batch, lane_filters
from optiprov.wire.session import NO_ANSWER, acknowledge_at_once, new_session, start, why_no_connection

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from paho.mqtt import client as mqtt
    from paho.mqtt.reasoncodes import ReasonCode

    from optiprov.serve.intake import Intake
    from optiprov.wire import BrokerAddress, Header

_log = logging.getLogger(__name__)


class Lane:
    """One of the lanes of a service: it receives the batches of the clients whose shards are its own.

    Attributes:
        subscribed: set once it receives.
        problem: why it does not.
        messages: how many it has received.

    Args:
        number: which lane, from 0 on.
        lanes: how many there are.
        broker: the broker's address.
        intake: where decoded batches go.
        on_ready: called, in the lane's thread, each time that it has subscribed.
        tls_context: in place of the one that the address asks for.

    Raises:
        UrlError: the CA of the address cannot be used.
    """

    def __init__(
        self,
        number: int,
        lanes: int,
        broker: BrokerAddress,
        intake: Intake,
        on_ready: Callable[[], None],
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        self.subscribed = threading.Event()
        self.problem = "no answer"
        self.messages = 0
        self._filters = lane_filters(number, lanes, broker.prefix)
        self._broker = broker
        self._intake = intake
        self._on_ready = on_ready
        self._is_answered = False
        self._is_stopping = False
        self._session: mqtt.Client = new_session(
            broker, f"optiprov-service-{new_id()}-{number}", tls_context=tls_context
        )
        self._session.on_connect = self._on_connect
        self._session.on_connect_fail = self._on_connect_fail
        self._session.on_disconnect = self._on_disconnect
        self._session.on_subscribe = self._on_subscribe
        self._session.on_message = self._on_message

    @property
    def is_connected(self) -> bool:
        """Whether the broker is reached."""
        return bool(self._session.is_connected())

    def start(self) -> None:
        """Connect, and again after each break."""
        start(self._session, self._broker)

    def publish(self, topic: str, payload: str | bytes) -> None:
        """Send a message; it waits where the broker is not reached."""
        self._session.publish(topic, payload, qos=1)

    def unsubscribe(self) -> None:
        """Receive nothing more."""
        self._is_stopping = True
        if self.is_connected:
            self._session.unsubscribe(self._filters)

    def stop(self) -> None:
        """Disconnect."""
        self._is_stopping = True
        self._session.disconnect()
        self._session.loop_stop()

    def _on_connect(
        self, session: mqtt.Client, _data: object, _flags: object, code: ReasonCode, *_: object
    ) -> None:
        self._is_answered = True
        if code.is_failure:
            self._refuse(f"it refuses the connection: {code}")
            return
        session.subscribe([(one, 1) for one in self._filters])

    def _on_connect_fail(self, *_: object) -> None:
        self._refuse(
            why_no_connection(), logging.DEBUG
        )  # paho tries on; /health says that no broker is there

    def _on_disconnect(self, *_: object) -> None:
        if not self._is_answered and not self._is_stopping:
            self._refuse(NO_ANSWER)
        self._is_answered = False

    def _on_subscribe(
        self, _session: mqtt.Client, _data: object, _id: int, codes: list[ReasonCode], *_: object
    ) -> None:
        if any(code.is_failure for code in codes):
            self._refuse(f"it refuses the subscription to {', '.join(self._filters)}")
            return
        self.subscribed.set()
        self._on_ready()

    def _refuse(self, reason: str, level: int = logging.WARNING) -> None:
        if reason != self.problem:
            _log.log(level, "broker %s: %s", self._broker.url, reason)
        self.problem = reason

    def _on_message(self, session: mqtt.Client, _data: object, message: Any) -> None:
        acknowledge_at_once(session)
        self.messages += 1
        payload = bytes(message.payload)
        try:
            batch = decode_batch(payload)
            check_client(batch.header, message.topic)
            self._intake.put(batch)
        except WireError as error:
            self._intake.put(Unreadable(payload, str(error)))


def check_client(header: Header, topic: str) -> None:
    """See to it that a batch is of the client that its topic names.

    A broker may say who publishes to which topics, but not what a batch says.

    Raises:
        WireError: it is of another one.
    """
    named = client_of(topic)
    if named != header.client:
        raise WireError(f"the batch says that it is of the client {header.client}, its topic names {named!r}")
