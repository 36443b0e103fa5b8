"""Ctrl-C once stops a search in good order, twice at once; SIGTERM is the same as Ctrl-C."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType, TracebackType

    from typing_extensions import Self

_WATCHED = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Has the first SIGINT or SIGTERM of a `with` block end Ray Tune's run in good order.

    Ray Tune takes SIGUSR1 for "stop all trials and return". Its own handler of SIGINT is to be switched off
    (TUNE_DISABLE_SIGINT_HANDLER): it does not say afterwards that it was called. Before and after the run an
    interrupt raises KeyboardInterrupt, as ever; Python drops an exception that arises in a destructor, but
    `occurred` tells all the same. In a thread other than the main one it does nothing.
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        self._is_main = threading.current_thread() is threading.main_thread()

    @property
    def occurred(self) -> bool:
        """Whether there was an interrupt."""
        return self._event.is_set()

    def check(self) -> None:
        """Raise KeyboardInterrupt where one was dropped."""
        if self.occurred:
            raise KeyboardInterrupt

    def arm(self) -> None:
        """Set the handlers, again where Ray's native code has set its own of SIGTERM as it started."""
        if self._is_main:
            handler = signal.default_int_handler if self.occurred else self._interrupt
            for number in _WATCHED:
                signal.signal(number, handler)

    def run_has_ended(self) -> None:
        """Have an interrupt raise KeyboardInterrupt again, once Ray Tune's run is over."""
        if self._is_main:
            signal.signal(signal.SIGUSR1, self._before[signal.SIGUSR1])

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        self._event.set()
        self.arm()
        if signal.getsignal(signal.SIGUSR1) == self._before[signal.SIGUSR1]:
            raise KeyboardInterrupt  # the run has not begun, or is over
        signal.raise_signal(signal.SIGUSR1)

    def __enter__(self) -> Self:
        if self._is_main:
            self._before = {number: signal.getsignal(number) for number in (*_WATCHED, signal.SIGUSR1)}
            self.arm()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_main:
            for number, handler in self._before.items():
                signal.signal(number, handler)

    def __getstate__(self) -> dict[str, object]:
        """Nothing: Ray pickles what its run is given into its checkpoints."""
        return {}
