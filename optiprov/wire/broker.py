"""The address of an MQTT broker, as users write it."""

from __future__ import annotations

from typing import NamedTuple, Optional

from optiprov.errors import UrlError

DEFAULT_PORT = 1883


class BrokerAddress(NamedTuple):
    """Where a broker listens, and as whom to connect."""

    host: str
    port: int = DEFAULT_PORT
    user: Optional[str] = None
    password: Optional[str] = None

    @classmethod
    def parse(cls, text: str) -> BrokerAddress:
        """Read `mqtt://user:password@host:port`, `host:port`, `[ipv6]:port` or `host`.

        Raises:
            UrlError: the text is none of these.

        >>> BrokerAddress.parse("127.0.0.1:1884").port
        1884
        >>> BrokerAddress.parse("mqtt://edge@[::1]").host
        '::1'
        """
        from urllib.parse import unquote, urlsplit  # 3 ms that a client without a broker need not spend

        url = text if "://" in text else "mqtt://" + text
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, DEFAULT_PORT if parts.port is None else parts.port
        except ValueError:
            host, port = None, 0
        if not host or not port or parts.scheme not in ("mqtt", "tcp"):
            raise UrlError(f"{text!r} is no broker address; write mqtt://host:port or host:port.")
        user = unquote(parts.username) if parts.username else None
        password = unquote(parts.password) if parts.password else None
        return cls(host, port, user, password)

    @property
    def url(self) -> str:
        """The address without credentials."""
        host = "[" + self.host + "]" if ":" in self.host else self.host
        return f"mqtt://{host}:{self.port}"
