"""The commands that work on an experiment: noted in its state before and after, their processes marked."""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

from optiprov.deploy.experiment_state import now
from optiprov.deploy.watchdog import end_processes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from optiprov.deploy.experiment_state import ExperimentState

_VARIABLE = "OPTIPROV_INVOCATION"


@contextmanager
def noted(state: ExperimentState, directory: Path, command: str, app_conf: str | None) -> Iterator[None]:
    """Note a command in the state of an experiment: that it works, and how it ended.

    Args:
        state: The state.
        directory: The experiment's directory.
        command: The command.
        app_conf: The set of workflow_env.yaml with which it works.
    """
    invocation = {"command": command, "app_conf": app_conf, "started_at": now()}
    invocation |= {"invocation": uuid.uuid4().hex, "ended_at": None, "outcome": None}
    state.invocations.append(invocation)
    state.write(directory)
    outcome = "failed"
    try:
        yield
        outcome = "done"
    except KeyboardInterrupt:
        outcome = "interrupted"
        raise
    finally:
        invocation |= {"ended_at": now(), "outcome": outcome}
        state.write(directory)


def mark_of_last(state: ExperimentState) -> str:
    """What marks the processes of the command that works on it, `NAME=value`."""
    return _mark(state.invocations[-1]["invocation"])


def end_interrupted(state: ExperimentState) -> None:
    """End what a command that was killed left running, as its supervisor is about to do."""
    for invocation in state.invocations:
        if invocation["ended_at"] is None:
            end_processes((_mark(invocation["invocation"]),), set())
            invocation |= {"ended_at": now(), "outcome": "killed"}


def _mark(name: str) -> str:
    return f"{_VARIABLE}={name}"
