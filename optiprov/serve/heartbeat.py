"""Notes which clients live, closes the runs of those that have fallen silent, and counts what they lack.

A client that lives says so now and then, if need be by a batch without records. One that was killed says
nothing: after a time of silence, what it left open of its runs has stopped, and what is known to be missing
of its records is counted as lost. Should it come back and end its run, that end wins; should what was missing
come after all, it is stored, and no longer counted.
"""

from __future__ import annotations

import datetime
import logging
import os
import time
from typing import TYPE_CHECKING, NamedTuple

from optiprov.errors import StoreError
from optiprov.store.closing import clients_with_open_parts, close_open_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from optiprov.store.backend import Backend
    from optiprov.store.writer import Writer

_log = logging.getLogger(__name__)

SILENCE_S = 120.0
"""How long a client may be silent; it should say that it lives at least four times as often."""


class Silence(NamedTuple):
    """What was done about clients that say nothing any more.

    Attributes:
        closed: the clients whose parts of runs were closed.
        lost: how many records were counted as lost.
    """

    closed: list[str]
    lost: int


class Heartbeats:
    """When each client was last heard. Owned by the committing thread.

    Args:
        backend: the store's database.
        writer: the store's writer.
        silence_s: after how long a silent client is taken for ended; by default OPTIPROV_SILENCE_S.
        clock: seconds that only ever grow.
    """

    def __init__(
        self,
        backend: Backend,
        writer: Writer,
        *,
        silence_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._backend = backend
        self._writer = writer
        self._silence_s = _silence_s() if silence_s is None else silence_s
        self._clock = clock
        self._checked_at = clock()
        # A service that starts has heard nobody; what was open before has the whole time from now on.
        awaited = [*clients_with_open_parts(backend), *writer.clients_ahead]
        self._heard_at = dict.fromkeys(awaited, self._checked_at)

    def heard(self, clients: Iterable[str]) -> None:
        """Note that these clients live."""
        now = self._clock()
        for client in clients:
            self._heard_at[client] = now

    def forgive(self) -> None:
        """Give every client the whole time again: the broker was away, and none could be heard."""
        self.heard(list(self._heard_at))

    def close_silent(self) -> Silence:
        """Close the open runs of the clients that have been silent for too long, and count what they lack.

        Looks only now and then, and may be called all the time.

        Raises:
            StoreError: the engine is in trouble.
        """
        now = self._clock()
        if now - self._checked_at < self._silence_s / 8:
            return Silence([], 0)
        self._checked_at = now
        silent = [client for client, at in self._heard_at.items() if now - at >= self._silence_s]
        if not silent:
            return Silence([], 0)
        left_open = [client for client in clients_with_open_parts(self._backend) if client in set(silent)]
        if left_open:
            self._close(left_open, now)
        lost = self._count_missing(silent)
        for client in silent:
            del self._heard_at[client]
        return Silence(left_open, lost)

    def _count_missing(self, clients: list[str]) -> int:
        reason = (
            f"records behind them had arrived, then nothing was heard of the client for {self._silence_s:g} s"
        )
        lost = self._writer.count_missing(clients, reason).lost
        if lost:
            _log.warning("%d records of clients that say nothing any more are counted as lost", lost)
        return lost

    def _close(self, clients: list[str], now: float) -> None:
        utc = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
        for client in clients:
            ended_at = utc - datetime.timedelta(seconds=now - self._heard_at[client])
            reason = f"nothing was heard of its process for {self._silence_s:g} s"
            try:
                close_open_parts(self._backend, [client], reason, ended_at)
            except self._backend.faults as error:
                raise StoreError(f"the store takes no records at present: {error}") from error
            _log.warning("client %s has been silent for %g s; its runs are stopped", client, self._silence_s)


def _silence_s() -> float:
    """Return the time that the service's environment says, or the default."""
    text = os.environ.get("OPTIPROV_SILENCE_S", "")
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if seconds > 0:
        return seconds
    if text:
        _log.warning(
            "OPTIPROV_SILENCE_S is a number of seconds above 0, got %r; taken as %g", text, SILENCE_S
        )
    return SILENCE_S
