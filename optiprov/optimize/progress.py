"""A live display of a study: trials done and running, the best so far, the time left.

On a terminal a few lines are kept up to date, and a failed trial's reason is printed above them. Elsewhere
(a file, a pipe, CI) there is one plain line each time a trial ends, and one now and then while none does.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from typing_extensions import Self

Status = Literal["finished", "stopped", "failed"]

ENDINGS = {"finished": "green", "stopped early": "yellow", "failed": "red"}
"""How a trial ends, in words, with the colour on a terminal; others are shown when they occur."""
INTERRUPTED = "interrupted"
REFRESHES_PER_S = 4
STILL_S = 30.0
PLAIN_EVERY_S = 60.0
_WATCH_S = 1.0
MAX_RUNNING_SHOWN = 8
BAR_WIDTH = 24


@dataclass
class _Study:
    """What is shown of the study."""

    name: str = ""
    num_samples: int = 0
    metric: str = ""
    mode: str = "max"
    unit: str | None = None
    started_s: float = 0.0
    ended: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ENDINGS, 0))
    best: tuple[str, float, Mapping[str, Any]] | None = None
    last_failure: tuple[str, str] | None = None
    last_event_s: float = 0.0
    last_line_s: float = 0.0

    @property
    def done(self) -> int:
        return sum(self.ended.values())


@dataclass
class _Trial:
    """What is shown of a running trial."""

    config: Mapping[str, Any]
    started_s: float
    step: int | None = None
    value: float | None = None


class Progress:
    """Shows the progress of one study at a time, as a context manager. Thread-safe.

    Args:
        console: Where to show it; None for standard output.
        clock: Seconds that only grow; for tests.

    Example:
        >>> from io import StringIO
        >>> out = StringIO()
        >>> with Progress(Console(file=out, width=80), clock=lambda: 0.0) as progress:
        ...     progress.study_started("digits", 2, "accuracy", "max", None)
        ...     progress.trial_started("t1", {"kernel_size": 3})
        ...     progress.trial_ended("t1", "finished", 0.93)
        >>> print(out.getvalue().strip())
        digits: maximize accuracy, 2 trials
        [1/2] t1 finished: 0.93, 0:00:00 elapsed, about 0:00:00 left; best, with kernel_size=3
    """

    def __init__(
        self, console: Console | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = console or Console()
        self._clock = clock
        self._lock = threading.RLock()
        self._study = _Study()
        self._running: dict[str, _Trial] = {}
        self._live: Live | None = None
        self._left = threading.Event()
        self._watch: threading.Thread | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = Live(
                console=self._console,
                get_renderable=self._render,
                refresh_per_second=REFRESHES_PER_S,
                vertical_overflow="crop",
            )
            self._live.start()
        else:
            self._left.clear()
            self._watch = threading.Thread(target=self._keep_telling, name="optiprov-progress", daemon=True)
            self._watch.start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
        if self._watch is not None:
            self._left.set()
            self._watch.join()
            self._watch = None

    def study_started(
        self, name: str, num_samples: int, metric: str, mode: str, objective_unit: str | None = None
    ) -> None:
        """Begin to show a study of `num_samples` trials; `mode` is "min" or "max"."""
        with self._lock:
            self._study = _Study(name, num_samples, metric, mode, objective_unit, self._clock())
            self._study.last_event_s = self._study.last_line_s = self._study.started_s
            self._running = {}
            self._print_plain(f"{self._headline()}, {_trials(num_samples)}")

    def trial_started(self, trial_id: str, config: Mapping[str, Any]) -> None:
        """Show a trial as running."""
        with self._lock:
            now = self._study.last_event_s = self._clock()
            self._running[trial_id] = _Trial(dict(config), now)

    def trial_reported(self, trial_id: str, step: int | None, value: float | None) -> None:
        """Show a running trial's last value."""
        with self._lock:
            self._study.last_event_s = self._clock()
            if trial_id in self._running:
                self._running[trial_id].step = step
                self._running[trial_id].value = value

    def trial_ended(
        self, trial_id: str, status: Status, value: float | None, reason: str | None = None
    ) -> None:
        """Count a trial as ended; only a finished one can be the best.

        Args:
            trial_id: The trial.
            status: "finished", "stopped" or "failed".
            value: Its last value; None or NaN if there is none.
            reason: Why it failed: its first and its last line are shown, unless the last trial that failed
                did so for the same reason. A stopped trial with a reason and no value was interrupted;
                without a reason the scheduler stopped it.
        """
        with self._lock:
            self._study.last_event_s = self._clock()
            trial = self._running.pop(trial_id, _Trial({}, self._study.last_event_s))
            ending = _ending(status, value, reason)
            self._study.ended[ending] = self._study.ended.get(ending, 0) + 1
            is_best = status == "finished" and self._is_better(value)
            if is_best and value is not None:
                self._study.best = (trial_id, value, trial.config)
            words = f"{trial_id} {ending}"
            if status == "failed":
                words += f": {self._failure(trial_id, reason)}"
            elif ending != INTERRUPTED:
                words += f": {self._number(value)}"
            self._print_plain(f"{self._count()} {words}, {self._times()}; {self._best(is_new=is_best)}")
            live = self._live
        if status == "failed" and live is not None:
            live.console.print(Text(f"trial {words}", style=ENDINGS["failed"]))

    def _failure(self, trial_id: str, reason: str | None) -> str:
        """Why a trial failed, on one line, or which trial failed for the same reason."""
        words = _summary(reason)
        same = words.replace(trial_id, "")  # paths in it are each trial's own
        if self._study.last_failure is not None and self._study.last_failure[1] == same:
            return f"same reason as {self._study.last_failure[0]}"
        self._study.last_failure = (trial_id, same)
        return words

    def _keep_telling(self) -> None:
        while not self._left.wait(_WATCH_S):
            self._tell_when_still()

    def _tell_when_still(self) -> None:
        """Print a plain line where none has been printed for a while."""
        with self._lock:
            if not self._study.name or self._clock() - self._study.last_line_s < PLAIN_EVERY_S:
                return
            running = sorted(self._clock() - trial.started_s for trial in self._running.values())
            words = f"{len(running)} running"
            if running:
                longest, shortest = _duration(running[-1]), _duration(running[0])
                words += f" for {longest}" if longest == shortest else f" for {shortest} to {longest}"
            self._print_plain(f"{self._count()} {words}, {self._times()}; {self._best(is_new=False)}")

    def _is_better(self, value: float | None) -> bool:
        if value is None or not math.isfinite(value):
            return False
        if self._study.best is None:
            return True
        best = self._study.best[1]
        return value < best if self._study.mode == "min" else value > best

    def _print_plain(self, line: str) -> None:
        """Print a line where there is no live display, without styles, wrapping or control characters."""
        self._study.last_line_s = self._clock()
        if self._live is None:
            self._console.file.write(f"{_printable(line)}\n")
            self._console.file.flush()

    def _count(self) -> str:
        return f"[{self._study.done}/{self._study.num_samples}]"

    def _best(self, *, is_new: bool) -> str:
        if self._study.best is None:
            return "no best yet"
        _, value, config = self._study.best
        return f"best, with {_configuration(config)}" if is_new else f"best {self._number(value)}"

    def _headline(self) -> str:
        verb = "minimize" if self._study.mode == "min" else "maximize"
        unit = f" in {self._study.unit}" if self._study.unit else ""
        return f"{self._study.name}: {verb} {self._study.metric}{unit}"

    def _times(self) -> str:
        elapsed = self._clock() - self._study.started_s
        done, total = self._study.done, self._study.num_samples
        is_going_on = 0 < done < total and INTERRUPTED not in self._study.ended
        left = f", about {_duration(elapsed * (total - done) / done)} left" if is_going_on else ""
        return f"{_duration(elapsed)} elapsed{left}"

    def _number(self, value: float | None) -> str:
        if value is None or not math.isfinite(value):
            return "no value"
        return f"{value:.4g} {self._study.unit}" if self._study.unit else f"{value:.4g}"

    def _render(self) -> RenderableType:
        """The live display; called by rich's thread."""
        with self._lock:
            if not self._study.name:
                return Text("")
            study = self._study
            bar = Table.grid(padding=(0, 1))
            bar.add_row(
                ProgressBar(max(study.num_samples, 1), study.done, width=BAR_WIDTH),
                f"{study.done}/{_trials(study.num_samples)}",
                Text(self._times(), style="dim"),
            )
            return Group(Text(self._headline(), style="bold"), bar, self._counts(), self._details())

    def _counts(self) -> Text:
        words = [(f"{len(self._running)} running", "cyan" if self._running else "dim")]
        for ending, count in self._study.ended.items():
            words.append((f"{count} {ending}", ENDINGS.get(ending, "yellow") if count else "dim"))
        return Text(", ").join(Text(word, style=style) for word, style in words)

    def _details(self) -> Group:
        """The best configuration in full, and the running trials with their last values."""
        lines: list[RenderableType] = []
        if self._study.best is not None:
            trial_id, value, config = self._study.best
            best = Text.assemble("best ", (self._number(value), "bold green"), f" by {_printable(trial_id)}")
            lines += [best, Padding(_escaped(_configuration(config)), (0, 0, 0, 2))]
        now = self._clock()
        is_still = now - self._study.last_event_s >= STILL_S
        rows = Table.grid(padding=(0, 2, 0, 0), expand=True)
        rows.add_column(no_wrap=True)
        rows.add_column(no_wrap=True, justify="right")
        if is_still:
            rows.add_column(no_wrap=True)
        rows.add_column(no_wrap=True, overflow="ellipsis", style="dim", ratio=1)
        shown = list(self._running.items())[:MAX_RUNNING_SHOWN]
        for trial_id, trial in shown:
            step = "" if trial.step is None else f" (step {trial.step})"
            last = "no value yet" if trial.value is None else self._number(trial.value) + step
            since = [f"for {_duration(now - trial.started_s)}"] if is_still else []
            rows.add_row(_escaped(trial_id), last, *since, _escaped(_configuration(trial.config)))
        if len(self._running) > len(shown):
            rows.add_row(f"and {len(self._running) - len(shown)} more")
        return Group(*lines, rows)


def _configuration(config: Mapping[str, Any]) -> str:
    """A configuration in one line: `kernel_size=3, learning_rate=0.0312`."""
    shown = {key: f"{value:.4g}" if isinstance(value, float) else value for key, value in config.items()}
    return ", ".join(f"{key}={value}" for key, value in shown.items())


def _escaped(text: str) -> Text:
    """Text as it is: brackets in it are no markup."""
    return Text(_printable(text))


def _ending(status: Status, value: float | None, reason: str | None) -> str:
    """How a trial ended, in words."""
    if status != "stopped":
        return status
    has_value = value is not None and math.isfinite(value)
    return INTERRUPTED if reason and not has_value else "stopped early"


def _summary(reason: str | None) -> str:
    r"""A reason on one line: its first line and its last, which is an application's last word.

    >>> _summary("the Master failed with exit status 1.\n  stderr, last lines:\n    ValueError: x\n")
    'the Master failed with exit status 1: ValueError: x'
    """
    lines = [line.strip() for line in (reason or "").splitlines() if line.strip()]
    ends = dict.fromkeys(_printable(line).rstrip(" .,;:") for line in (lines[:1] + lines[-1:]))
    return ": ".join(ends) or "no reason given"


def _trials(count: int) -> str:
    return f"{count} trial{'' if count == 1 else 's'}"


def _printable(text: str) -> str:
    """Text without control characters, which an application's error message may hold."""
    return "".join(character if character.isprintable() else " " for character in text)


def _duration(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    minutes, rest = divmod(round(max(seconds, 0.0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
