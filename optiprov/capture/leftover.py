"""What clients that have ended left in their spools: find it, and send it in their name."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Tuple

from optiprov.capture.segment import SegmentReader, segments
from optiprov.capture.spool import (
    SpoolReader,
    SpoolState,
    leave_end,
    leave_tombstone,
    lock_spool,
    read_identity,
    remove_spool,
)
from optiprov.capture.warnings import warn
from optiprov.wire import BrokerAddress, Header

if TYPE_CHECKING:
    from pathlib import Path


_MAX_UNREADABLE = 1_000_000  # records that are believed to be missing at the end of a spool
_MAKING_S = 60.0


def spool_directories(root: Path) -> List[Path]:
    """List the spools of single clients below a spool directory."""
    return sorted(path.parent for path in root.glob("*/client.json"))


def spool_heads(root: Path) -> Dict[str, int]:
    """Return the last sequence number of every client whose spool lies below `root`, at this moment."""
    heads = {}
    for directory in spool_directories(root):
        try:
            state = SpoolState(directory / "state")
        except (OSError, ValueError):
            continue  # removed between listing and opening: all of it is acknowledged
        heads[directory.name] = state.head
        state.close()
    return heads


class WaitingClient(NamedTuple):
    """A client whose spool holds what is not acknowledged.

    Attributes:
        client: its id.
        records: how many records wait.
        is_alive: whether its process runs, and sends by itself.
        identity: what it says of itself: host, pid, user, trial, study, campaign.
    """

    client: str
    records: int
    is_alive: bool
    identity: Dict[str, Any]


def waiting_clients(root: Path) -> List[WaitingClient]:
    """List the clients below a spool directory that have undelivered records."""
    waiting = []
    for directory in spool_directories(root):
        try:
            state = SpoolState(directory / "state")
            identity = read_identity(directory)
        except (OSError, ValueError):
            continue  # removed meanwhile, or cut off as it was made: nothing was emitted yet
        try:
            os.close(lock_spool(directory))
            is_alive = False
        except OSError:
            is_alive = True
        head = state.head if is_alive else max(state.head, _last_number(directory))
        if head > state.acked:
            waiting.append(WaitingClient(directory.name, head - state.acked, is_alive, identity))
        state.close()
    return waiting


def send_leftovers(root: Path, broker: BrokerAddress, *, timeout_s: float = 30.0) -> List[str]:
    """Send what clients that are gone left below `root`, and remove their spools once all is stored.

    Returns:
        The ids of the clients whose spools still hold records: the broker or the service did not answer.
    """
    _remove_halves(root)
    unsent = []
    for directory in spool_directories(root):
        try:
            lock = lock_spool(directory)
        except BlockingIOError:
            continue  # its client is alive and sends by itself
        except OSError:
            continue  # removed meanwhile
        try:
            if not _send(directory, broker, timeout_s):
                unsent.append(directory.name)
        except (OSError, ValueError, TypeError) as error:
            warn("the spool %s cannot be read: %s", directory, error)
            unsent.append(directory.name)
        finally:
            os.close(lock)
    return unsent


def _send(directory: Path, broker: BrokerAddress, timeout_s: float) -> bool:
    topic, header = _identity(directory)
    state = SpoolState(directory / "state")
    last = _last_number(directory)
    if 0 <= state.head - last <= _MAX_UNREADABLE:
        if state.head > last > 0:  # the end of the last segment cannot be read: what follows says so
            leave_end(directory, state)
    else:
        state.head = last  # behind what is on disk, or garbage
    leave_tombstone(directory, state)
    sent = state.acked >= state.head
    has_stopped = True
    if not sent:
        from optiprov.capture.publisher import Publisher  # not above: an application needs it on connect only

        publisher = Publisher(SpoolReader(directory, has_ended=True), state, header, broker, topic)
        publisher.start()
        sent = publisher.flush(state.head, timeout_s)
        has_stopped = publisher.stop()
    if has_stopped:
        state.close()
    if sent:
        remove_spool(directory)
    return sent


def _identity(directory: Path) -> Tuple[str, Header]:
    """Return the topic and the header of a spool's client; little more than its id where that is damaged."""
    try:
        identity = read_identity(directory)
        return str(identity.pop("topic", "")), Header(**identity)
    except (ValueError, TypeError) as error:
        warn("%s is damaged (%s); its records are sent without it", directory / "client.json", error)
        return "", Header(directory.name, 1, 1, "unknown", 0, "", None, None, None)


def _remove_halves(root: Path) -> None:
    """Remove what a kill left of spools that were being made or removed: nothing in them is waited for."""
    for directory in root.iterdir() if root.is_dir() else ():
        if (directory / "client.json").exists() or not (directory / "lock").exists():
            continue
        with contextlib.suppress(OSError):
            is_young = time.time() - directory.stat().st_mtime < _MAKING_S
            lock = None if is_young else lock_spool(directory)
            if lock is not None:
                remove_spool(directory)
                os.close(lock)


def _last_number(directory: Path) -> int:
    """Return the number of the last record on disk: its writer may have died before it counted it."""
    held = segments(directory)
    if not held:
        return 0
    try:
        reader = SegmentReader(held[-1][1])
    except (OSError, ValueError):
        return 0
    for _ in reader.frames():
        pass
    last: int = reader.next - 1
    reader.close()
    return last
