"""Addresses of provenance, as users write them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from optiprov.errors import UrlError

ENVIRONMENT_VARIABLE = "OPTIPROV_STORE"


class StoreUrl(NamedTuple):
    """Where provenance is: a DuckDB file, or a service.

    Attributes:
        kind: "duckdb" or "http".
        location: the path, or the service's URL.
    """

    kind: str
    location: str

    @classmethod
    def parse(cls, text: str) -> StoreUrl:
        """Read `duckdb:///absolute/path`, `duckdb:relative/path`, a path, or `http://host:port`.

        Raises:
            UrlError: the text is none of these.

        >>> StoreUrl.parse("duckdb:///data/p.duckdb").location
        '/data/p.duckdb'
        """
        scheme, separator, rest = text.partition(":")
        if scheme in ("http", "https"):
            return cls("http", text.rstrip("/"))
        if scheme == "duckdb" and separator:
            path = rest[2:] if rest.startswith("//") else rest
            if path.strip("/"):
                return cls("duckdb", path)
        elif scheme == "monetdb":
            raise UrlError(f"{text!r}: MonetDB stores are not supported yet. Use duckdb:///path/to/file.")
        elif "://" not in text and text:
            return cls("duckdb", text)
        raise UrlError(
            f"{text!r} is no store. Write duckdb:///path/to/file, a path, or http://host:port of a service."
        )

    @property
    def path(self) -> Path:
        """The absolute path of a DuckDB file."""
        return Path(self.location).expanduser().absolute()


def service_file(store: Path) -> Path:
    """Return the file beside a store in which the service that owns it writes its addresses."""
    return store.with_name(store.name + ".service.json")
