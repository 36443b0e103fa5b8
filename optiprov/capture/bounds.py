"""The bounds of a spool directory: how many bytes it may hold, and how old what it holds may become."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from typing import TYPE_CHECKING

from optiprov.capture.recovery import open_state
from optiprov.capture.segment import SegmentWriter, client_directories, segments
from optiprov.capture.spool import lock_spool
from optiprov.capture.warnings import warn
from optiprov.records import Lost
from optiprov.wire import encode_record

if TYPE_CHECKING:
    from pathlib import Path

_WARN_FROM = 0.8  # of the bytes
_WARN_AGE_FROM = 2 / 3  # of the age
_LOOK_AGAIN_S = 1.0
_DAY_S = 86_400.0
_TOMBSTONE_BYTES = 4096


def spool_bytes(root: Path) -> int:
    """Return how many bytes the segments of all clients below a spool directory take."""
    total = 0
    for directory in client_directories(root):
        for _, path in segments(directory):
            with contextlib.suppress(OSError):  # freed meanwhile
                total += path.stat().st_size
    return total


class Room:
    """The room that is left below a spool directory; asked for before each segment.

    Args:
        root: the directory that holds the spools of all clients.
        max_bytes: how many bytes their segments may take.
    """

    def __init__(self, root: Path, max_bytes: int) -> None:
        self._root = root
        self._max_bytes = max_bytes
        self._full_until = 0.0
        self._has_warned = False

    def take(self, size_bytes: int) -> None:
        """Take room for a segment.

        Raises:
            OSError: the spool is at its bound. For a second, that is not looked at again.
        """
        now = time.monotonic()
        if now < self._full_until:
            raise OSError(errno.ENOSPC, "the spool is at its bound")
        used = spool_bytes(self._root)
        if used + size_bytes > self._max_bytes:
            self._full_until = now + _LOOK_AGAIN_S
            self._warn("is full: new records are counted, not kept, until there is room", used)
            raise OSError(errno.ENOSPC, "the spool is at its bound")
        if used + size_bytes > _WARN_FROM * self._max_bytes:
            self._warn("is nearly full", used)

    def _warn(self, how: str, used_bytes: int) -> None:
        if not self._has_warned or how.startswith("is full"):
            warn(
                "the spool %s %s (%d of %d MB, OPTIPROV_SPOOL_MAX_MB). Start a broker and a service, or run"
                " `optiprov spool send`",
                self._root,
                how,
                used_bytes >> 20,
                self._max_bytes >> 20,
            )
        self._has_warned = True


def expire_spools(root: Path, max_age_s: float) -> int:
    """Remove what ended clients have left below a spool directory for longer than it may lie there.

    What is removed is counted: a record stays in its place, so that the store, once the spool is sent, counts
    those that are missing.

    Returns:
        How many records were removed.
    """
    removed = 0
    for directory in client_directories(root):
        if not (directory / "client.json").exists():
            continue
        try:
            lock = lock_spool(directory)
        except OSError:
            continue  # its client is alive, or has just removed it
        try:
            removed += _expire(directory, max_age_s)
        except (OSError, ValueError) as error:
            warn("the spool %s cannot be read: %s", directory, error)
        finally:
            os.close(lock)
    return removed


def age_s(directory: Path) -> float:
    """Return for how long nothing has been written to a spool; 0 where it holds nothing."""
    held = segments(directory)
    return max(0.0, time.time() - max(path.stat().st_mtime for _, path in held)) if held else 0.0


def _expire(directory: Path, max_age_s: float) -> int:
    held, age = segments(directory), age_s(directory)
    state = open_state(directory)
    try:
        head, waiting = state.head, state.head - state.acked
        if not held or held[0][0] >= head or waiting <= 0 or age < _WARN_AGE_FROM * max_age_s:
            return 0
        if age < max_age_s:
            warn(
                "%d records in %s wait since %d days, and are removed after %d (OPTIPROV_SPOOL_MAX_DAYS)."
                " Run `optiprov spool send`",
                *(waiting, directory, age / _DAY_S, max_age_s / _DAY_S),
            )
            return 0
        reason = f"removed from the spool after {age / _DAY_S:.0f} days (OPTIPROV_SPOOL_MAX_DAYS)"
        tombstone = SegmentWriter(directory, head + 1, 1, _TOMBSTONE_BYTES)
        tombstone.append(encode_record(Lost(0, reason)))
        tombstone.seal()
        state.head = head + 1
        for _, path in held:
            path.unlink()
    finally:
        state.close()
    warn("%d records in %s were %s", waiting, directory, reason)
    return waiting
