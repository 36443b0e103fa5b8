"""Makes out what there is in the spool of a client that is gone, whatever has become of its files.

Hold the spool's lock for all of this.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from typing import TYPE_CHECKING, Any, Dict

from optiprov.capture.segment import SegmentReader, segments
from optiprov.capture.spool import append_alone, remove_spool
from optiprov.capture.spool_state import SpoolState
from optiprov.records import Lost
from optiprov.wire import Header, encode_record

if TYPE_CHECKING:
    from pathlib import Path

_MAX_MISSING = 1 << 20  # a head that is farther ahead of the last record is garbage
_MAX_LOST = 1 << 40
_MAKING_S = 60.0  # what has been without an identity for longer is not being made
_OWN_ID = re.compile(r"[0-9a-f]{16}")  # what clients name their directories by
_CLIENT = re.compile(r"[0-9A-Za-z_.-]{1,200}")


def read_identity(directory: Path) -> Dict[str, Any]:
    """Return who the client of a spool is; of what cannot be read, only that its id names the directory."""
    try:
        said = json.loads((directory / "client.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        said = None
    said = said if isinstance(said, dict) else {}
    client = said.get("client")
    is_client = isinstance(client, str) and _CLIENT.fullmatch(client)
    unknown = Header(directory.name, 1, 1, "unknown", 0, "unknown", None, None, None)
    identity = unknown._asdict()
    for name in ("host", "user", "trial", "study", "campaign"):
        if isinstance(said.get(name), str):
            identity[name] = said[name]
    pid = said.get("pid")
    if type(pid) is int and 0 <= pid < 1 << 32:
        identity["pid"] = pid
    topic = said.get("topic")
    return dict(
        identity,
        client=client if is_client else directory.name,
        topic=topic if isinstance(topic, str) else "",
    )


def open_state(directory: Path) -> SpoolState:
    """Open the counters of a spool whose writer is gone, right by what its segments hold.

    A writer that was killed may not have counted its last record. Counters that are garbage are made anew:
    all is sent again then, and dropped where it is stored. Where records were given numbers but are not there
    any more at the end, a record behind them says so.

    Raises:
        OSError: there is no room for that, or the directory cannot be read.
    """
    held = segments(directory)
    try:
        state = SpoolState(directory / "state")
    except (FileNotFoundError, ValueError):
        (directory / "state").unlink(missing_ok=True)
        state = SpoolState(directory / "state", create=True)
        state.acked = held[0][0] - 1 if held else 0
    last = last_number(directory)
    head = state.head
    if not state.is_sound or (not held and state.acked > head) or (held and state.acked > max(last, head)):
        state.acked = held[0][0] - 1 if held else 0
        head = last
    if state.lost > _MAX_LOST:
        state.lost = 0
    state.settle_tombstone(max(last, state.acked))
    is_cut = last < head <= last + _MAX_MISSING and state.acked < head
    state.head = head if is_cut or (not held and state.acked == head) else last
    if is_cut:
        reason = "the spool's last segment is damaged"
        append_alone(directory, state, encode_record(Lost(0, reason)))
    return state


def last_number(directory: Path) -> int:
    """Return the number of the last record that can be read."""
    held = segments(directory)
    if not held:
        return 0
    first, path = held[-1]
    try:
        reader = SegmentReader(path)
    except (OSError, ValueError):
        return first - 1
    last = first + reader.written - 1
    reader.close()
    return last


def remove_if_empty(directory: Path) -> bool:
    """Remove a spool that was left while it was made or removed: it has no identity and holds no record."""
    if (directory / "client.json").exists() or segments(directory):
        return False
    if time.time() - directory.stat().st_mtime < _MAKING_S:
        return False
    remove_spool(directory)
    return True


def remove_if_bare(directory: Path) -> None:
    """Remove a directory without any file: its client was killed between its last two steps."""
    if not _OWN_ID.fullmatch(directory.name):
        return
    with contextlib.suppress(OSError):  # there is something in it, or it is no directory
        if time.time() - directory.stat().st_mtime > _MAKING_S:
            directory.rmdir()
