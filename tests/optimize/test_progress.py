"""The progress display, on a terminal and elsewhere."""

import io
import threading

import pytest
from rich.console import Console

from optiprov.optimize.progress import Progress
from tests.waiting import wait_until


class Clock:
    """Seconds that pass when told."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        """The time."""
        return self.now


def run_study(progress: Progress, clock: Clock) -> None:
    """Four trials: one finishes, one is stopped, one fails, one runs."""
    progress.study_started("digits", 8, "training_output.accuracy", "max", None)
    for index in range(4):
        progress.trial_started(f"t{index}", {"kernel_size": index + 2, "learning_rate": 0.012345678})
        progress.trial_reported(f"t{index}", 3, 0.5 + index / 10)
    clock.now = 60.0
    progress.trial_ended("t0", "finished", 0.91)
    progress.trial_ended("t1", "stopped", 0.99)
    progress.trial_ended(
        "t2", "failed", float("nan"), "[exit 3] \x1b[31mno images.\nTraceback\n  Error: x\n\n"
    )


def test_plain_output_is_one_line_a_trial_without_control_characters():
    """In a file each ended trial is a line, with its outcome, the best so far and the time left."""
    out, clock = io.StringIO(), Clock()
    with Progress(Console(file=out, width=80), clock=clock) as progress:
        run_study(progress, clock)
    best = "kernel_size=2, learning_rate=0.01235"
    assert out.getvalue().splitlines() == [
        "digits: maximize training_output.accuracy, 8 trials",
        f"[1/8] t0 finished: 0.91, 0:01:00 elapsed, about 0:07:00 left; best, with {best}",
        "[2/8] t1 stopped early: 0.99, 0:01:00 elapsed, about 0:03:00 left; best 0.91",
        "[3/8] t2 failed: [exit 3]  [31mno images: Error: x, 0:01:00 elapsed, about 0:01:40 left; best 0.91",
    ]
    assert all(character.isprintable() or character == "\n" for character in out.getvalue())


def shown(width: int = 80) -> list[str]:
    """The lines of the live display after `run_study`, without styles."""
    out, clock = io.StringIO(), Clock()
    progress = Progress(Console(file=io.StringIO(), width=width), clock=clock)
    run_study(progress, clock)
    Console(file=out, width=width).print(progress._render())
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_live_display_shows_counts_best_running_and_time_left():
    """Everything that the issue asks for is on the screen."""
    text = "\n".join(shown())
    assert "digits: maximize training_output.accuracy" in text
    assert "3/8 trials" in text
    assert "about 0:01:40 left" in text
    assert "1 running, 1 finished, 1 stopped early, 1 failed" in text
    assert "best 0.91 by t0" in text
    assert "kernel_size=2, learning_rate=0.01235" in text
    assert "t3  0.8 (step 3)  kernel_size=5" in text


@pytest.mark.parametrize("width", [40, 80, 200])
def test_live_display_fits_the_terminal(width):
    """No line is wider than the terminal."""
    assert max(map(len, shown(width))) <= width


def test_terminal_prints_a_failure_above_the_display():
    """The reason of a failure stays on the screen, on one line, its control characters taken out."""
    out, clock = io.StringIO(), Clock()
    console = Console(file=out, width=80, force_terminal=True, color_system=None)
    with Progress(console, clock=clock) as progress:
        run_study(progress, clock)
    assert "trial t2 failed: [exit 3]  [31mno images: Error: x" in out.getvalue()
    assert "\x1b[31m" not in out.getvalue()
    assert "Traceback" not in out.getvalue()


def test_minimizing_keeps_the_lowest_with_its_unit():
    """In mode min the lowest finished value is the best; values have the objective's unit."""
    out = io.StringIO()
    with Progress(Console(file=out, width=80), clock=Clock()) as progress:
        progress.study_started("pools", 3, "latency", "min", "s")
        for trial, value in (("a", 2.5), ("b", 2.4), ("c", 2.6)):
            progress.trial_started(trial, {"http": 40})
            progress.trial_ended(trial, "finished", value)
    assert out.getvalue().splitlines()[-1].endswith("best 2.4 s")


def plain_lines(study) -> list[str]:
    """What is printed where there is no terminal, after the headline."""
    out, clock = io.StringIO(), Clock()
    with Progress(Console(file=out, width=80), clock=clock) as progress:
        progress.study_started("digits", 9, "accuracy", "max", None)
        study(progress, clock)
    return out.getvalue().splitlines()[1:]


def test_one_trial_is_one_trial():
    """The plural is for other numbers."""
    out = io.StringIO()
    with Progress(Console(file=out, width=80), clock=Clock()) as progress:
        progress.study_started("digits", 1, "accuracy", "max", None)
        Console(file=out, width=80).print(progress._render())
    assert "accuracy, 1 trial\n" in out.getvalue()
    assert "0/1 trial " in out.getvalue()


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        ("the Master ended. See its logs.", "the Master ended. See its logs"),
        (
            "a:7: task 'x' failed.\n  command: y\n  stderr:\n    Trace\n    No images.\n\n",
            "task 'x' failed: No images",
        ),
        ("same\nsame\n", "failed: same"),
        (" \n", "failed: no reason given"),
        (None, "failed: no reason given"),
    ],
)
def test_failure_is_told_by_its_first_and_last_line(reason, shown):
    """The last one is the application's last word; no punctuation is doubled."""
    (line,) = plain_lines(lambda progress, _: progress.trial_ended("001", "failed", None, reason))
    assert f"{shown}, 0:00:00 elapsed" in line


def test_same_reason_is_told_once():
    """Also where it names each trial's own directory; another reason is told in full."""

    def study(progress, _):
        for trial in ("001", "002", "003"):
            progress.trial_ended(trial, "failed", None, f"no images\n  in /r/trials/{trial}/logs")
        progress.trial_ended("004", "failed", None, "no memory")
        progress.trial_ended("005", "failed", None, "no images\n  in /r/trials/005/logs")

    told = [line.split(", 0:00:00 elapsed")[0] for line in plain_lines(study)]
    assert told == [
        "[1/9] 001 failed: no images: in /r/trials/001/logs",
        "[2/9] 002 failed: same reason as 001",
        "[3/9] 003 failed: same reason as 001",
        "[4/9] 004 failed: no memory",
        "[5/9] 005 failed: no images: in /r/trials/005/logs",
    ]


def test_interrupted_trial_is_not_called_stopped_early():
    """A reason and no value: cut off; what is left of the time is not guessed any more."""

    def study(progress, clock):
        clock.now = 9.0
        progress.trial_ended("001", "stopped", 0.5)
        progress.trial_ended("002", "stopped", 0.5, "the scheduler had seen enough")
        progress.trial_ended("003", "stopped", None, "the study was interrupted")

    assert plain_lines(study) == [
        "[1/9] 001 stopped early: 0.5, 0:00:09 elapsed, about 0:01:12 left; no best yet",
        "[2/9] 002 stopped early: 0.5, 0:00:09 elapsed, about 0:00:32 left; no best yet",
        "[3/9] 003 interrupted, 0:00:09 elapsed; no best yet",
    ]


def test_live_display_counts_interrupted_trials_where_there_are_any():
    """Beside those that the scheduler stopped."""
    out = io.StringIO()
    progress = Progress(Console(file=io.StringIO(), width=80), clock=Clock())
    progress.study_started("digits", 9, "accuracy", "max", None)
    progress.trial_ended("003", "stopped", None, "the study was interrupted")
    Console(file=out, width=80).print(progress._render())
    assert "0 running, 0 finished, 0 stopped early, 0 failed, 1 interrupted" in out.getvalue()


def test_live_display_shows_how_long_trials_run_while_nothing_happens():
    """From 30 s of silence on; a report ends it."""
    clock = Clock()
    progress = Progress(Console(file=io.StringIO(), width=80), clock=clock)
    progress.study_started("digits", 9, "accuracy", "max", None)
    progress.trial_started("001", {"n": 1})
    clock.now = 10.0
    progress.trial_started("002", {"n": 2})

    def screen():
        out = io.StringIO()
        Console(file=out, width=80).print(progress._render())
        return out.getvalue()

    clock.now = 39.0
    assert "for 0:00" not in screen()
    clock.now = 41.0
    assert "001  no value yet  for 0:00:41  n=1" in screen()
    assert "002  no value yet  for 0:00:31  n=2" in screen()
    progress.trial_reported("001", 1, 0.5)
    assert "for 0:00" not in screen()


def test_plain_output_tells_of_a_long_silence():
    """A line each minute in which no trial ends, with how long the running ones have been running."""

    def study(progress, clock):
        progress.trial_started("001", {})
        clock.now = 10.0
        progress.trial_started("002", {})
        for clock.now in (59.0, 60.0, 119.0, 121.0, 140.0):
            progress._tell_when_still()
        progress.trial_ended("001", "finished", 0.5)
        for clock.now in (199.0, 201.0):
            progress._tell_when_still()

    assert plain_lines(study) == [
        "[0/9] 2 running for 0:00:50 to 0:01:00, 0:01:00 elapsed; no best yet",
        "[0/9] 2 running for 0:01:51 to 0:02:01, 0:02:01 elapsed; no best yet",
        "[1/9] 001 finished: 0.5, 0:02:20 elapsed, about 0:18:40 left; best, with ",
        "[1/9] 1 running for 0:03:11, 0:03:21 elapsed, about 0:26:48 left; best 0.5",
    ]


def test_silence_is_watched_without_being_asked():
    """A thread looks at the clock while the display is open, where there is no terminal."""

    def study(progress, clock):
        before = progress._study.last_line_s
        clock.now = 61.0
        wait_until(lambda: progress._study.last_line_s != before)

    assert plain_lines(study) == ["[0/9] 0 running, 0:01:01 elapsed; no best yet"]
    assert "optiprov-progress" not in [thread.name for thread in threading.enumerate()]
