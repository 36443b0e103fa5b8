"""The address of an MQTT broker, as users write it."""

from __future__ import annotations

import os
from typing import Dict, List, Mapping, NamedTuple, Optional

from optiprov.errors import UrlError

DEFAULT_PORT = 1883
DEFAULT_TLS_PORT = 8883
USER_VARIABLE = "OPTIPROV_BROKER_USER"
PASSWORD_VARIABLE = "OPTIPROV_BROKER_PASSWORD"  # noqa: S105 - the name of a variable, no password
CA_VARIABLE = "OPTIPROV_BROKER_CA"

_PLAIN_SCHEMES = ("mqtt", "tcp")
_TLS_SCHEMES = ("mqtts", "ssl")
_FORM = "write mqtt://host:port, mqtts://user:password@host:port/prefix?ca=/path, or host:port"


class BrokerAddress(NamedTuple):
    """Where a broker listens, as whom to connect, and how to know that it is the right one.

    Attributes:
        host: a name or an address.
        port: the TCP port.
        user: the name to log in with, or None.
        password: the password of that user, or None.
        tls: whether the connection is encrypted, and the broker's certificate checked.
        ca: a file with the certificates that sign the broker's, or None for those of the system.
        prefix: what all topics start with, so that one broker serves several stores.
    """

    host: str
    port: int = DEFAULT_PORT
    user: Optional[str] = None
    password: Optional[str] = None
    tls: bool = False
    ca: Optional[str] = None
    prefix: str = ""

    @classmethod
    def parse(cls, text: str, env: Mapping[str, str] = os.environ) -> BrokerAddress:
        """Read `mqtt://user:password@host:port/prefix`, `mqtts://host?ca=/path`, `host:port` or `host`.

        What the text does not say of user, password and CA is read from OPTIPROV_BROKER_USER,
        OPTIPROV_BROKER_PASSWORD and OPTIPROV_BROKER_CA, so that no password needs to stand in a command line.

        Raises:
            UrlError: the text is none of these; the message does not repeat a password.

        >>> BrokerAddress.parse("127.0.0.1:1884").port
        1884
        >>> BrokerAddress.parse("mqtt://edge@[::1]").host
        '::1'
        >>> BrokerAddress.parse("mqtts://broker/site-a?ca=/etc/ca.pem").url
        'mqtts://broker:8883/site-a'
        """
        from urllib.parse import unquote, urlsplit  # 3 ms that a client without a broker need not spend

        url = text if "://" in text else "mqtt://" + text
        try:
            parts = urlsplit(url)
            host, port, scheme = parts.hostname, parts.port, parts.scheme
        except ValueError:
            host, port, scheme = None, 0, ""
        if not host or port == 0 or scheme not in _PLAIN_SCHEMES + _TLS_SCHEMES or parts.fragment:
            raise UrlError(f"{_without_password(text)!r} is no broker address; {_FORM}.")
        tls = scheme in _TLS_SCHEMES
        ca = _ca(text, parts.query, tls=tls)
        user = unquote(parts.username) if parts.username else None
        password = unquote(parts.password) if parts.password else None
        if user is None:
            user, password = env.get(USER_VARIABLE) or None, env.get(PASSWORD_VARIABLE) or None
        elif password is None and user == env.get(USER_VARIABLE, user):
            password = env.get(PASSWORD_VARIABLE) or None
        return cls(
            host,
            port or (DEFAULT_TLS_PORT if tls else DEFAULT_PORT),
            user,
            password,
            tls,
            (ca or env.get(CA_VARIABLE) or None) if tls else None,
            _prefix(text, unquote(parts.path)),
        )

    @property
    def url(self) -> str:
        """The address without credentials."""
        from urllib.parse import quote

        host = "[" + self.host + "]" if ":" in self.host else self.host
        path = "/" + quote(self.prefix) if self.prefix else ""
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}{path}"

    def __repr__(self) -> str:
        """Show the address without its credentials: a repr may end up in a log."""
        return f"BrokerAddress({self.url!r})"


def _ca(text: str, query: str, *, tls: bool) -> Optional[str]:
    from urllib.parse import parse_qs

    options: Dict[str, List[str]] = parse_qs(query, keep_blank_values=True)
    unknown = sorted(set(options) - {"ca"})
    if unknown:
        raise UrlError(f"{_without_password(text)!r} has unknown options: {', '.join(unknown)}; known is ca.")
    if options and not tls:
        raise UrlError(f"{_without_password(text)!r} names a CA, but no encryption; write mqtts:// for that.")
    return options["ca"][-1] or None if options else None


def _prefix(text: str, path: str) -> str:
    prefix = path.strip("/")
    if len(prefix.encode("utf-8", "replace")) > 1000 or any(
        c in "+#$" or not c.isprintable() for c in prefix
    ):
        raise UrlError(
            f"{_without_password(text)!r}: the path is the prefix of MQTT topics, at most 1000 bytes of "
            f"printable characters without +, # and $; {_FORM}."
        )
    return prefix


def _without_password(text: str) -> str:
    """Return an address for a message: what stands before its last @ may be a password."""
    scheme, separator, rest = text.rpartition("://")
    _credentials, at, place = rest.rpartition("@")
    return f"{scheme}{separator}***@{place}" if at else text
