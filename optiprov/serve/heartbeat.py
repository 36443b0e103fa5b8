"""Notes which clients live, and closes the runs of those that have fallen silent.

A client that lives says so now and then, if need be by a batch without records. One that was killed says
nothing: after a time of silence, what it left open of its runs has stopped. Should it come back and end its
run, that end wins.
"""

from __future__ import annotations

import datetime
import logging
import os
import time
from typing import TYPE_CHECKING

from optiprov.errors import StoreError
from optiprov.store.closing import clients_with_open_parts, close_open_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from optiprov.store.backend import Backend

_log = logging.getLogger(__name__)

SILENCE_S = 120.0
"""How long a client may be silent; it should say that it lives at least four times as often."""


class Heartbeats:
    """When each client was last heard. Owned by the committing thread.

    Args:
        backend: the store's database.
        silence_s: after how long a silent client is taken for ended; by default OPTIPROV_SILENCE_S.
        clock: seconds that only ever grow.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        silence_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._backend = backend
        self._silence_s = _silence_s() if silence_s is None else silence_s
        self._clock = clock
        self._checked_at = clock()
        # A service that starts has heard nobody; what was open before has the whole time from now on.
        self._heard_at = dict.fromkeys(clients_with_open_parts(backend), self._checked_at)

    def heard(self, clients: Iterable[str]) -> None:
        """Note that these clients live."""
        now = self._clock()
        for client in clients:
            self._heard_at[client] = now

    def forgive(self) -> None:
        """Give every client the whole time again: the broker was away, and none could be heard."""
        self.heard(list(self._heard_at))

    def close_silent(self) -> list[str]:
        """Close the open runs of the clients that have been silent for too long, and return these clients.

        Looks only now and then, and may be called all the time.
        """
        now = self._clock()
        if now - self._checked_at < self._silence_s / 8:
            return []
        self._checked_at = now
        silent = [client for client, at in self._heard_at.items() if now - at >= self._silence_s]
        if not silent:
            return []
        left_open = [client for client in clients_with_open_parts(self._backend) if client in set(silent)]
        if left_open:
            self._close(left_open, now)
        for client in silent:
            del self._heard_at[client]
        return left_open

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
