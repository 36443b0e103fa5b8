"""Who may use the service: the users of the embedded broker, the token of HTTP, certificates."""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
import ssl
import stat
from typing import TYPE_CHECKING, NamedTuple

from optiprov.errors import CredentialsError, InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_log = logging.getLogger(__name__)

TOKEN_VARIABLE = "OPTIPROV_TOKEN"  # noqa: S105 - the name of a variable, no token
_MIN_TOKEN = 16  # characters
_MAX_NAME_BYTES = 65535  # MQTT's limit of user names and passwords


class BrokerUser(NamedTuple):
    """A user of the embedded broker."""

    name: str
    password: str

    def __repr__(self) -> str:
        """Show no password: a repr may end up in a log."""
        return f"BrokerUser({self.name!r})"


class Certificate(NamedTuple):
    """What a server proves its identity with.

    Attributes:
        chain: a PEM file with its certificate, and those between it and the CA.
        key: a PEM file with its private key, not encrypted.
    """

    chain: Path
    key: Path


def read_users(path: Path) -> list[BrokerUser]:
    """Read the broker's users: a line `name:password` each; empty lines and those that start with # are none.

    Raises:
        CredentialsError: the file cannot be read, names nobody, or a line is something else; the message has
            the number of the line, and nothing of its content.
    """
    users: dict[str, BrokerUser] = {}
    for number, line in enumerate(_read(path, "users of the broker").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, password = line.partition(":")
        too_long = max(len(name.encode()), len(password.encode())) > _MAX_NAME_BYTES
        if not colon or not name or not password or too_long or not line.isprintable():
            raise CredentialsError(
                f"{path}:{number}: a user of the broker is a line name:password of printable characters."
            )
        if name in users:
            raise CredentialsError(f"{path}:{number}: the user {name!r} is there twice. Remove one.")
        users[name] = BrokerUser(name, password)
    if not users:
        raise CredentialsError(f"{path} names no user of the broker. Write a line name:password for each.")
    return list(users.values())


def read_token(path: Path | None, env: Mapping[str, str] = os.environ) -> str | None:
    """Return the token that HTTP asks for: the content of a file, otherwise OPTIPROV_TOKEN, or None.

    Raises:
        CredentialsError: it cannot be read, or is too short to be a secret.
    """
    if path is not None:
        token, where = _read(path, "token").strip(), str(path)
    else:
        token, where = env.get(TOKEN_VARIABLE, "").strip(), TOKEN_VARIABLE
        if not token:
            return None
    if len(token) < _MIN_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise CredentialsError(
            f"{where}: a token has at least {_MIN_TOKEN} printable ASCII characters and no spaces, got "
            f"{len(token)} characters. `openssl rand -hex 32` makes one."
        )
    return token


def check_certificate(certificate: Certificate) -> None:
    """See to it that a certificate can be used.

    Raises:
        CredentialsError: a file is absent, is no PEM, or the key belongs to another certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate.chain, certificate.key, password=_no_password)
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise CredentialsError(
            f"The certificate {certificate.chain} with the key {certificate.key} cannot be used: {reason}. "
            "Both are PEM files, and the key is not encrypted."
        ) from error


def check_exposure(host: str, *, has_users: bool, has_token: bool) -> None:
    """See to it that nothing listens beyond this machine without credentials.

    Raises:
        CredentialsError: it would; the message says what to give.
    """
    if _is_loopback(host):
        return
    missing = []
    if not has_token:
        missing.append(f"a token for HTTP (--token-file FILE or {TOKEN_VARIABLE})")
    if not has_users:
        missing.append("users for the broker (--broker-users FILE, or --broker URL of another broker)")
    if missing:
        raise CredentialsError(
            f"--host {host} is reached from other machines; that needs {' and '.join(missing)}. "
            "Or use --host 127.0.0.1."
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(host or None, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise InputError(f"--host {host!r} is no address of this machine: {error.strerror}.") from error
    return all(ipaddress.ip_address(str(one[4][0])).is_loopback for one in found)


def _read(path: Path, what: str) -> str:
    try:
        text = path.read_text(encoding="utf-8")
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise CredentialsError(f"The {what} cannot be read from {path}: {reason}.") from error
    if mode & (stat.S_IRGRP | stat.S_IROTH):
        _log.warning("%s can be read by other users of this machine; chmod 600 keeps it from them", path)
    return text


def _no_password() -> str:
    raise ValueError("the key is encrypted")
