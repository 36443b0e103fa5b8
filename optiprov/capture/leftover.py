"""What clients that have ended left in their spools: find it, and send it in their name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Callable, Dict, List, NamedTuple

from optiprov.capture.recovery import (
    last_number,
    open_state,
    read_identity,
    remove_if_bare,
    remove_if_empty,
)
from optiprov.capture.segment import client_directories, segments
from optiprov.capture.spool import leave_tombstone, lock_spool, remove_spool
from optiprov.capture.spool_reader import SpoolReader
from optiprov.capture.spool_state import SpoolState
from optiprov.capture.warnings import warn
from optiprov.wire import BrokerAddress, Header

if TYPE_CHECKING:
    from pathlib import Path


def spool_directories(root: Path) -> List[Path]:
    """List the spools of single clients below a spool directory."""
    return [one for one in client_directories(root) if (one / "client.json").exists() or segments(one)]


def spool_heads(root: Path) -> Dict[str, int]:
    """Return the last sequence number of every client whose spool lies below `root`, at this moment."""
    heads = {}
    for directory in spool_directories(root):
        try:
            state = SpoolState(directory / "state")
        except (OSError, ValueError):
            continue  # removed between listing and opening: all of it is acknowledged
        heads[directory.name] = max(state.head, last_number(directory))
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
        head = max(state.head, last_number(directory))
        if head > state.acked:
            waiting.append(WaitingClient(directory.name, head - state.acked, is_alive, identity))
        state.close()
    return waiting


def send_leftovers(
    root: Path,
    broker: BrokerAddress,
    *,
    timeout_s: float = 30.0,
    is_over: Callable[[], bool] = lambda: False,
) -> List[str]:
    """Send what clients that are gone left below `root`, and remove their spools once all is stored.

    Args:
        root: a spool directory.
        broker: where to send.
        timeout_s: how long to wait for each client's to be stored.
        is_over: whether to begin with no further client: an interpreter that ends starts no threads.

    Returns:
        The ids of the clients whose spools still hold records: the broker or the service did not answer.
    """
    _remove_empty(root)
    unsent = []
    for directory in spool_directories(root):
        if is_over():
            break
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
    identity = read_identity(directory)
    state = open_state(directory)
    leave_tombstone(directory, state)
    topic = str(identity.pop("topic", ""))
    sent = state.acked >= state.head
    has_stopped = True
    if not sent:
        from optiprov.capture.publisher import Publisher  # not above: an application needs it on connect only

        publisher = Publisher(
            SpoolReader(directory, has_ended=True), state, Header(**identity), broker, topic
        )
        publisher.start()
        sent = publisher.flush(state.head, timeout_s)
        has_stopped = publisher.stop()
    if has_stopped:
        state.close()
    if sent:
        remove_spool(directory)
    return sent


def _remove_empty(root: Path) -> None:
    """Remove the spools of clients that were killed as they made or removed them."""
    for directory in client_directories(root):
        remove_if_bare(directory)
        if not (directory / "lock").exists():
            continue
        try:
            lock = lock_spool(directory)
        except OSError:
            continue  # its client is alive, or has just removed it
        try:
            remove_if_empty(directory)
        except OSError as error:
            warn("the empty spool %s cannot be removed: %s", directory, error)
        finally:
            os.close(lock)
