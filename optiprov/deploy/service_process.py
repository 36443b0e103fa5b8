"""Starts a provenance service as a process of its own."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from optiprov.errors import WorkError
from optiprov.store.url import ENVIRONMENT_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from optiprov.store import StoreUrl

START_TIMEOUT_S = 60.0
_UNREADY_TIMEOUT_S = 3.0


def start_service(
    store: StoreUrl,
    log: Path,
    environment: Mapping[str, str],
    *,
    lanes: int = 1,
    host: str = "127.0.0.1",
    mqtt_port: int = 0,
    http_port: int = 0,
) -> tuple[subprocess.Popen[str], dict[str, Any]]:
    """Start a service in a session of its own, and wait until it is ready.

    Args:
        store: The DuckDB file or MonetDB database that it owns.
        log: Where its warnings go.
        environment: Variables for it beside those of this process.
        lanes: How many ingest lanes it has.
        host: Where it listens.
        mqtt_port: The broker's port, 0 for a free one.
        http_port: The port of HTTP, 0 for a free one.

    Returns:
        The process, and its addresses.

    Raises:
        WorkError: It does not start; the message has its last words.
    """
    command = [sys.executable, "-m", "optiprov.cli", "serve", "--host", host]
    command += ["--mqtt-port", str(mqtt_port), "--http-port", str(http_port), "--parallelism", str(lanes)]
    location = {ENVIRONMENT_VARIABLE: store.location}  # not an argument: it may have a password in it
    with log.open("ab") as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, **environment, **location},
            start_new_session=True,  # Ctrl-C is for the driver: it stops the service when all is stored
            text=True,
        )
    try:
        return process, json.loads(_first_line(process, START_TIMEOUT_S))
    except ValueError:
        end_service(process, 0)
        last = log.read_text(encoding="utf-8", errors="replace").strip()[-2000:]
        raise WorkError(f"The provenance service does not start ({log}): {last}") from None
    except BaseException:  # an interruption while it starts
        end_service(process, _UNREADY_TIMEOUT_S)
        raise


def end_service(process: subprocess.Popen[str], timeout_s: float) -> None:
    """End a service by SIGTERM, by SIGKILL where that takes too long or we are interrupted."""
    try:
        process.terminate()
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        pass
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _first_line(process: subprocess.Popen[str], timeout_s: float) -> str:
    """Return the line that a process prints when it is ready, or what there is when it ends or time is up."""
    if process.stdout is None:
        return ""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        if not selector.select(timeout_s):
            return ""
    return process.stdout.readline()
