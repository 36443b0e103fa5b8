"""Captures the environment of the process once, beside the application."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Callable

from optiprov.capture.background import importing
from optiprov.capture.warnings import warn

if TYPE_CHECKING:
    from optiprov.records import Record


_DELAY_S = 0.05  # the application goes first: its thread would wait for ours, which imports


class EnvironmentCapture:
    """Gathers the environment of this process in a thread, and emits it as one record.

    Args:
        emit: of the process's client.
    """

    def __init__(self, emit: Callable[[Record], None]) -> None:
        self._emit = emit
        self._wanted = threading.Event()
        self._thread = threading.Thread(target=self._run, name="optiprov-environment", daemon=True)

    def start(self) -> None:
        """Start gathering; at most a warning where the process may have no more threads."""
        try:
            self._thread.start()
        except RuntimeError as error:  # no more threads, or the interpreter is ending
            warn("the environment of this process is not recorded: %s", error)

    def wait(self, timeout_s: float) -> float:
        """Wait until it is emitted; return what is left of the time."""
        begun = time.monotonic()
        self._wanted.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return max(0.0, timeout_s - (time.monotonic() - begun))

    def _run(self) -> None:
        self._wanted.wait(_DELAY_S)
        try:
            with importing():
                import subprocess  # noqa: F401 - what follows needs it, where no fork waits any more

                from optiprov.telemetry.environment import read_environment
            self._emit(read_environment())
        except Exception as error:  # noqa: BLE001 - the boundary of this thread: capture never raises
            warn("the environment of this process is not recorded: %r", error)
