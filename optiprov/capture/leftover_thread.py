"""Sends what earlier processes left in the spool directory of this one, beside the application."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optiprov.capture.settings import Settings


class LeftoverThread:
    """A background thread that sends what others left, and removes what is too old to be sent.

    Args:
        settings: the spool directory, the broker, and how old a spool may be.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._is_ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="optiprov-leftovers", daemon=True)

    def start(self) -> None:
        """Start it, unless there are no more threads: the next process sends them then."""
        with contextlib.suppress(RuntimeError):
            self._thread.start()

    def is_alive(self) -> bool:
        """Whether it still sends."""
        return self._thread.is_alive()

    def end(self, timeout_s: float) -> None:
        """Begin with no further client's, and wait until what was sent is acknowledged.

        Args:
            timeout_s: how long at most.
        """
        self._is_ending.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        from optiprov.capture.bounds import expire_spools
        from optiprov.capture.leftover import send_leftovers

        settings = self._settings
        with contextlib.suppress(OSError):
            if settings.broker is not None:
                send_leftovers(settings.spool, settings.broker, is_over=self._is_ending.is_set)
            expire_spools(settings.spool, settings.spool_max_age_s)
