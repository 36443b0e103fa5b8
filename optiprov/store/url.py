"""Addresses of provenance, as users write them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

from optiprov.errors import UrlError
from optiprov.store.service_address import ServiceAddress

ENVIRONMENT_VARIABLE = "OPTIPROV_STORE"
DEFAULT_MONETDB_PORT = 50000


class StoreUrl(NamedTuple):
    """Where provenance is: a DuckDB file, a MonetDB database, or a service.

    Attributes:
        kind: "duckdb", "monetdb" or "http".
        location: the path, or the URL, which may have a password in it: `str()` leaves that out.
    """

    kind: str
    location: str

    @classmethod
    def parse(cls, text: str) -> StoreUrl:
        """Read `duckdb:///absolute/path`, `duckdb:relative/path`, a path, `monetdb://...` or `http://...`.

        Raises:
            UrlError: the text is none of these.

        >>> StoreUrl.parse("duckdb:///data/p.duckdb").location
        '/data/p.duckdb'
        """
        scheme, separator, rest = text.partition(":")
        if scheme in ("http", "https"):
            ServiceAddress.parse(text)
            return cls("http", text.rstrip("/"))
        if scheme == "duckdb" and separator:
            path = rest[2:] if rest.startswith("//") else rest
            if path.strip("/"):
                return cls("duckdb", path)
        elif scheme == "monetdb":
            MonetDBAddress.parse(text)
            return cls("monetdb", text)
        elif "://" not in text and text:
            return cls("duckdb", text)
        raise UrlError(
            f"{text!r} is no store. Write duckdb:///path/to/file, a path, monetdb://user:password@host/database,"
            " or the http://host:port or https://host:port of a service."
        )

    def __str__(self) -> str:
        """Return the location as it may be shown: without a password."""
        return self.monetdb.url if self.kind == "monetdb" else self.location

    def __repr__(self) -> str:
        return f"StoreUrl({self.kind!r}, {str(self)!r})"

    @property
    def monetdb(self) -> MonetDBAddress:
        """The address of a MonetDB database."""
        return MonetDBAddress.parse(self.location)

    @property
    def path(self) -> Path:
        """The absolute path of a DuckDB file."""
        return Path(self.location).expanduser().absolute()


class MonetDBAddress(NamedTuple):
    """A database of a MonetDB server."""

    host: str
    port: int
    database: str
    user: str
    password: str

    @classmethod
    def parse(cls, text: str) -> MonetDBAddress:
        """Read `monetdb://user:password@host:port/database`; user and password are monetdb, the port 50000.

        Raises:
            UrlError: there is no host or no database, or the port is no number.

        >>> MonetDBAddress.parse("monetdb://db.example/provenance").url
        'monetdb://monetdb@db.example:50000/provenance'
        """
        parts = urlsplit(text)
        database = unquote(parts.path.strip("/"))
        try:
            port = parts.port or DEFAULT_MONETDB_PORT
        except ValueError:
            port = 0
        if not parts.hostname or not database or "/" in database or not port:
            shown = f"monetdb://...@{parts.netloc.rpartition('@')[2]}{parts.path}"
            raise UrlError(
                f"{shown!r} is no MonetDB database. Write monetdb://user:password@host:port/database;"
                f" user and password default to monetdb, the port to {DEFAULT_MONETDB_PORT}."
            )
        user, password = (unquote(part) if part else "monetdb" for part in (parts.username, parts.password))
        return cls(parts.hostname, port, database, user, password)

    @property
    def url(self) -> str:
        """The URL without the password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"monetdb://{quote(self.user, safe='')}@{host}:{self.port}/{quote(self.database, safe='')}"

    def __repr__(self) -> str:
        return f"MonetDBAddress({self.url!r})"


def without_password(text: str) -> str:
    """Return a store's address as it may be shown.

    >>> without_password("monetdb://ana:secret@db.example/provenance")
    'monetdb://ana@db.example:50000/provenance'
    """
    return MonetDBAddress.parse(text).url if text.startswith("monetdb:") else text


def service_file(store: Path) -> Path:
    """Return the file beside a store in which the service that owns it writes its addresses."""
    return store.with_name(store.name + ".service.json")
