"""What `optiprov doctor` finds of the way that provenance takes: spool, broker, store."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from optiprov.capture.leftover import WaitingClient, waiting_clients
from optiprov.capture.settings import Settings
from optiprov.cli.broker_check import why_nothing_is_stored
from optiprov.errors import OptiprovError
from optiprov.telemetry.masking import mask_text

if TYPE_CHECKING:
    from collections.abc import Iterator

_CONNECT_TIMEOUT_S = 2.0
_MONETDB_PORT = 50000
_SYSTEM_PROGRAMS = "/usr/local/sbin:/usr/sbin"  # where Debian has mosquitto, off the PATH of ordinary users


class Finding(NamedTuple):
    """One thing that was looked at: "ok", "note" or "missing", what it is, and what to do about it."""

    state: str
    subject: str
    detail: str


def look_at_client() -> Iterator[Finding]:
    """Yield what there is to say of the broker and the spool that the environment names."""
    try:
        settings = Settings.from_environment()
    except OptiprovError as error:
        yield Finding("missing", "broker", str(error))
        return
    yield _broker(settings)
    yield from _spools(settings)


def _broker(settings: Settings) -> Finding:
    address = settings.broker
    if address is None:
        detail = "none set; an optimization starts its own, a program run by hand needs PROVLIGHT_SERVER_URL"
        return Finding("ok", "broker", detail)
    reason = why_nothing_is_stored(address, settings.topic)
    if reason is None:
        return Finding("ok", "broker", f"{address.url} answers, and a service acknowledges")
    return Finding("missing", "broker", f"{address.url} {reason}")


def _spools(settings: Settings) -> Iterator[Finding]:
    yield _spool("spool", settings.spool)
    fallback = Path(tempfile.gettempdir()) / f"optiprov-spool-{os.getuid()}"
    if fallback.is_dir() and any(fallback.iterdir()):
        yield _spool("spool, temporary", fallback)


def _spool(subject: str, place: Path) -> Finding:
    above = next(path for path in (place, *place.absolute().parents) if path.exists())
    if not os.access(above, os.W_OK | os.X_OK) or not above.is_dir():
        detail = f"{place} cannot be written; set OPTIPROV_SPOOL to a directory that can"
        return Finding("missing", subject, detail)
    waiting = waiting_clients(place)
    ended = [one for one in waiting if not one.is_alive]
    running = [one for one in waiting if one.is_alive]
    parts = [f"{place}: {_size(place)} on disk"]
    if running:
        parts.append(f"{_records(running)} of {_clients(running, 'running')} on their way")
    if ended:
        oldest_s = max(time.time() - (place / one.client / "client.json").stat().st_mtime for one in ended)
        wait = f"{_records(ended)} of {_clients(ended, 'ended')} wait, the oldest since {_duration(oldest_s)}"
        hint = f"send them: optiprov spool send {place} --broker URL"
        return Finding("note", subject, "\n".join([", ".join([*parts, wait]), hint]))
    return Finding("ok", subject, ", ".join(parts if waiting else [*parts, "nothing waits"]))


def _records(waiting: list[WaitingClient]) -> str:
    count = sum(one.records for one in waiting)
    return f"{count} record{'' if count == 1 else 's'}"


def _clients(waiting: list[WaitingClient], which: str) -> str:
    return f"{len(waiting)} {which} client{'' if len(waiting) == 1 else 's'}"


def _size(place: Path) -> str:
    used = sum(_bytes_on_disk(path) for client in _below(place) for path in _below(client))
    return f"{used / (1 << 20):.1f} MiB"


def _below(directory: Path) -> list[Path]:
    """What a directory has; nothing where it is none, or is removed meanwhile by its client."""
    try:
        return list(directory.iterdir())
    except OSError:
        return []


def _bytes_on_disk(path: Path) -> int:
    try:
        return path.stat().st_blocks * 512 if path.is_file() else 0
    except OSError:
        return 0


def _duration(seconds: float) -> str:
    for unit, length_s in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length_s:
            count = int(seconds // length_s)
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return f"{int(seconds)} s"


def look_at_mosquitto() -> Iterator[Finding]:
    """Yield whether there is a mosquitto, which the embedded broker has less than."""
    program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', os.defpath)}:{_SYSTEM_PROGRAMS}")
    if program is None:
        detail = (
            "not there; the broker of `optiprov serve` does, on one machine. Others: apt install mosquitto"
        )
        yield Finding("ok", "mosquitto", detail)
        return
    try:
        told = subprocess.run(
            [program, "-h"], capture_output=True, text=True, timeout=_CONNECT_TIMEOUT_S, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        yield Finding("note", "mosquitto", f"{program} does not run: {error}")
        return
    version = re.search(r"version (\S+)", told)
    yield Finding("ok", "mosquitto", f"{version[1] if version else 'of an unknown version'} ({program})")


def look_at_store(store: str | None) -> Iterator[Finding]:
    """Yield whether a store or a service answers; the credentials of its URL are not shown."""
    if store is None:
        yield Finding("ok", "store", "none named (--store, OPTIPROV_STORE); a study makes its own")
        return
    from optiprov.store import connect

    shown = mask_text(store)
    try:
        _reach_monetdb(store)
        runs = len(connect(store).runs())
    except OptiprovError as error:
        yield Finding("missing", "store", mask_text(str(error)))
    except OSError as error:
        detail = f"{shown} does not answer ({error.strerror or error}): start the server, or correct the URL"
        yield Finding("missing", "store", detail)
    else:
        yield Finding("ok", "store", f"{shown}: {runs} run{'' if runs == 1 else 's'}")


def _reach_monetdb(store: str) -> None:
    """Connect to the port of a MonetDB server: its client library would wait for minutes.

    Raises:
        OSError: nothing answers.
    """
    if not store.startswith("monetdb://"):
        return
    try:
        parts = urlsplit(store)
        place = (parts.hostname or "localhost", parts.port or _MONETDB_PORT)
    except ValueError:
        return  # `connect` says what is wrong with it
    socket.create_connection(place, timeout=_CONNECT_TIMEOUT_S).close()
