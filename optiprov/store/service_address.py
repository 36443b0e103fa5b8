"""The HTTP address of a provenance service, as users write it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs, urlsplit

from optiprov.errors import CredentialsError, UrlError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

CA_VARIABLE = "OPTIPROV_HTTP_CA"

_FORM = "Write http://host:port, or https://host:port?ca=/path/to/ca.pem."


class ServiceAddress(NamedTuple):
    """Where a service answers, and how to know that it is the right one.

    Attributes:
        url: without options.
        ca: a file with the certificates that sign the service's, or None for those of the system.
    """

    url: str
    ca: str | None = None

    @classmethod
    def parse(cls, text: str, env: Mapping[str, str] = os.environ) -> ServiceAddress:
        """Read `http://host:port` or `https://host:port?ca=/path`; the CA may be in OPTIPROV_HTTP_CA instead.

        Raises:
            UrlError: the text is neither.

        >>> ServiceAddress.parse("https://db.example:22000/?ca=/etc/ca.pem")
        ServiceAddress(url='https://db.example:22000', ca='/etc/ca.pem')
        """
        try:
            parts = urlsplit(text)
            is_address = bool(parts.hostname) and parts.port != 0 and not parts.fragment
        except ValueError:
            is_address = False
        if not is_address or parts.scheme not in ("http", "https"):
            raise UrlError(f"{text!r} is no address of a service. {_FORM}")
        options = parse_qs(parts.query, keep_blank_values=True)
        if options.keys() - {"ca"}:
            raise UrlError(f"{text!r} has unknown options: {', '.join(options.keys() - {'ca'})}. {_FORM}")
        is_encrypted = parts.scheme == "https"
        if options and not is_encrypted:
            raise UrlError(f"{text!r} names a CA, but no encryption. {_FORM}")
        ca = (options["ca"][-1] if options else "") or env.get(CA_VARIABLE) or None
        return cls(f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}", ca if is_encrypted else None)

    def tls_context(self) -> ssl.SSLContext | None:
        """Return what checks the service's certificate; None without encryption.

        Raises:
            CredentialsError: the file of the CA cannot be used.
        """
        if not self.url.startswith("https:"):
            return None  # making one takes 20 ms
        import ssl  # here: it takes 5 ms, which a command on this machine need not spend

        try:
            return ssl.create_default_context(cafile=self.ca)
        except (OSError, ValueError) as error:  # an SSLError is an OSError
            reason = getattr(error, "strerror", None) or error
            raise CredentialsError(
                f"The CA {self.ca} of the service {self.url} cannot be used: {reason}. "
                f"Give a PEM file by ?ca=/path or {CA_VARIABLE}."
            ) from error


def pinned_context(certificate: str) -> ssl.SSLContext:
    """Return what accepts one certificate, whoever it names.

    Args:
        certificate: its PEM text.

    Raises:
        ssl.SSLError, ValueError: it is none.
    """
    import ssl

    context = ssl.create_default_context(cadata=certificate)
    context.check_hostname = False  # the certificate names what others call this machine
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
