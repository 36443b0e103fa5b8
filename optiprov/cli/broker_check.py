"""Asking a broker whether it takes sessions, and whether a service listens to what clients publish there."""

from __future__ import annotations

import os
import threading
from typing import Any

from optiprov.errors import UrlError
from optiprov.records import new_id
from optiprov.wire import BrokerAddress, Header, ack_topic, encode_batch, records_topic, session

_CONNECT_TIMEOUT_S = 2.0
_ACKNOWLEDGE_TIMEOUT_S = 5.0


def why_nothing_is_stored(address: BrokerAddress, topic: str = "") -> str | None:
    """Publish a sign of life, as clients do, and wait for a service to acknowledge it; it stores nothing.

    Args:
        address: the broker's, with the prefix of topics.
        topic: the part of the topic that PROVLIGHT_SERVER_TOPIC names.

    Returns:
        Why that fails and what to do, to be read after the address; None where a service acknowledges.
    """
    try:
        return _Asking(address, topic).why_not()
    except UrlError as error:
        return f"cannot be asked: {error}"


class _Asking:
    """One session with a broker, in the name of a client that has nothing to say."""

    def __init__(self, address: BrokerAddress, topic: str) -> None:
        self._address = address
        self._client = new_id()
        self._topic = records_topic(topic, self._client, address.prefix)
        self._answered = threading.Event()
        self._acknowledged = threading.Event()
        self._refusal: str | None = None
        self._codes: list[Any] = []
        self._session = session.new_session(address, f"optiprov-{self._client}")
        self._session.connect_timeout = _CONNECT_TIMEOUT_S
        self._session.on_connect = self._on_connect
        self._session.on_subscribe = self._on_subscribe
        self._session.on_message = lambda *_: self._acknowledged.set()

    def why_not(self) -> str | None:
        try:
            self._session.connect(self._address.host, self._address.port)
        except OSError:
            reason = session.why_no_connection()
            return f"does not answer ({reason}): start `optiprov serve`, or correct the address"
        self._session.loop_start()
        try:
            if not self._answered.wait(_CONNECT_TIMEOUT_S):
                return f"gives no answer of an MQTT broker: {session.NO_ANSWER}. Or is the port wrong?"
            if self._codes[0].is_failure:
                return f"refuses the session: {self._codes[0]}. Give user and password"
            if not self._acknowledged.wait(_ACKNOWLEDGE_TIMEOUT_S):
                return self._why_unheard()
        finally:
            self._session.disconnect()
            self._session.loop_stop()
        return self._refusal

    def _why_unheard(self) -> str:
        prefix = self._address.prefix
        path = f"the prefix {prefix!r}" if prefix else "no prefix"
        return (
            f"answers, but no service acknowledges what is sent to {self._topic}: start one for this broker"
            f" (optiprov serve --broker {self._address.url}), or correct the path of the address, which is"
            f" the prefix of topics: it has {path}"
        )

    def _on_connect(self, mqtt: Any, _data: object, _flags: object, code: Any, _properties: object) -> None:
        self._codes.append(code)
        self._answered.set()
        if not code.is_failure:
            mqtt.subscribe(ack_topic(self._client, self._address.prefix), 1)

    def _on_subscribe(self, mqtt: Any, _data: object, _id: int, codes: Any, _properties: object) -> None:
        if any(code.is_failure for code in codes):
            self._refusal = (
                "refuses the subscription to acknowledgements. Give the user the right to read them"
            )
            self._acknowledged.set()
            return
        header = Header(self._client, 1, 1, os.uname().nodename, os.getpid(), "", None, None, None)
        mqtt.publish(self._topic, encode_batch(header, []), qos=1)
