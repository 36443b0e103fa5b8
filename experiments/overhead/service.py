"""A provenance service in a process of its own, started the way a user starts it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_STOP_TIMEOUT_S = 120


class Service(NamedTuple):
    """Where a running service is.

    Attributes:
        http: its HTTP address.
        mqtt: the address of its broker.
        process: its process; the embedded broker is a child of it.
    """

    http: str
    mqtt: str
    process: subprocess.Popen[str]


@contextmanager
def running_service(store: str) -> Iterator[Service]:
    """Start `optiprov serve` on a store, and stop it in good order afterwards.

    Args:
        store: a store's URL.

    Raises:
        RuntimeError: it does not come up; its own messages are on standard error.
    """
    command = [sys.executable, "-m", "optiprov.cli", "serve", "--store", store]
    process = subprocess.Popen(
        [*command, "--mqtt-port", "0", "--http-port", "0"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"`optiprov serve --store {store}` ended with status {process.wait()}")
        addresses = json.loads(line)
        yield Service(addresses["http"], addresses["mqtt"], process)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def capture_through(service: Service, spool: Path) -> None:
    """Have the client of this process, which is not made yet, send to a service."""
    for name in ("PROVLIGHT_SERVER_URL", "OPTIPROV_TRIAL_ID", "OPTIPROV_STUDY", "OPTIPROV_RUN_ID"):
        os.environ.pop(name, None)
    os.environ["OPTIPROV_BROKER"] = service.mqtt
    os.environ["OPTIPROV_SPOOL"] = str(spool)
    os.environ["OPTIPROV_FLUSH_TIMEOUT_S"] = "300"


def duckdb_url(directory: Path) -> str:
    """Return the URL of a store in a directory."""
    return f"duckdb://{directory / 'provenance.duckdb'}"


@contextmanager
def empty_store(engine: str, directory: Path) -> Iterator[tuple[str, list[int]]]:
    """Give the URL of an empty store, and the processes of a database server that belong to it.

    Args:
        engine: "duckdb", or "monetdb": a server of its own, in a process that ends with this one.
        directory: where its files lie.
    """
    if engine == "duckdb":
        yield duckdb_url(directory), []
        return
    from tests.monetdb import server as monetdb

    start: Any = monetdb.MonetDBServer
    server = start(directory / "provenance")
    try:
        yield str(server.url), [int(server.process.pid)]
    finally:
        server.stop()
