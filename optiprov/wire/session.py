"""An MQTT 3.1.1 session with a broker, as both sides open it: client and service."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING, Any

from optiprov.errors import UrlError

if TYPE_CHECKING:
    from optiprov.wire.broker import BrokerAddress

_KEEPALIVE_S = 15
_RECONNECT_MIN_S, _RECONNECT_MAX_S = 1, 5
NO_ANSWER = (  # what rumqttd does where others send the code "not authorized"
    "it closed the connection before it answered. It may demand another user or password, or TLS (mqtts://)"
)


def new_session(address: BrokerAddress, client_id: str, *, tls_context: Any = None) -> Any:
    """Return a paho client that has what the address says: credentials, TLS, and where to connect.

    It is not connected yet: set the callbacks, then call `start`.

    Args:
        address: the broker's.
        client_id: unique among the broker's clients.
        tls_context: an `ssl.SSLContext` in place of the one that the address asks for.

    Raises:
        UrlError: the file of the CA cannot be used.
    """
    from paho.mqtt import client as mqtt  # on connect only: an application that just spools needs no paho
    from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

    session = mqtt.Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        clean_session=True,
        protocol=MQTTProtocolVersion.MQTTv311,
    )
    if address.user is not None:
        session.username_pw_set(address.user, address.password)
    if address.tls:
        session.tls_set_context(tls_context or _tls_context(address))
    session.reconnect_delay_set(_RECONNECT_MIN_S, _RECONNECT_MAX_S)
    session.on_socket_open = _send_at_once
    session.on_publish = acknowledge_at_once
    return session


def start(session: Any, address: BrokerAddress) -> None:
    """Connect in a thread of paho's, and again after each break."""
    session.connect_async(address.host, address.port, keepalive=_KEEPALIVE_S)
    session.loop_start()


def why_no_connection() -> str:
    """Return why a connection failed; for `on_connect_fail`, which paho calls while it handles the error."""
    import ssl

    error = sys.exc_info()[1]
    if isinstance(error, ssl.SSLError):  # before OSError, which it is too
        reason = getattr(error, "verify_message", None) or error.reason or error
        return f"no TLS connection: {reason} (is the CA right, and does the broker speak TLS at this port?)"
    return f"no broker answers: {getattr(error, 'strerror', None) or error or 'unknown reason'}"


def acknowledge_at_once(session: Any, *_: object) -> None:
    """Have the kernel acknowledge what came: the broker's Nagle holds its next message back until then."""
    quick = getattr(socket, "TCP_QUICKACK", None)  # Linux has it
    connection = session.socket()
    if quick is not None and connection is not None:
        connection.setsockopt(socket.IPPROTO_TCP, quick, 1)


def _send_at_once(_session: object, _data: object, connection: Any) -> None:
    """Turn off Nagle's algorithm: with delayed acknowledgements it adds 40 ms to each exchange."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _tls_context(address: BrokerAddress) -> Any:
    import ssl

    try:
        return ssl.create_default_context(cafile=address.ca)
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        reason = getattr(error, "strerror", None) or error
        raise UrlError(
            f"The CA {address.ca} of the broker {address.url} cannot be used: {reason}. "
            "Give a PEM file by ?ca=/path or OPTIPROV_BROKER_CA."
        ) from error
