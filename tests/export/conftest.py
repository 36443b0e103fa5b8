"""Stores on each engine, as the tests of the store have them."""

from tests.store.conftest import (
    empty_file,
    engine,
    monetdb_server,
    monetdb_url,
    open_backend,
    store,
    store_url,
)

__all__ = ["empty_file", "engine", "monetdb_server", "monetdb_url", "open_backend", "store", "store_url"]
