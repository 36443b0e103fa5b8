"""Who runs the tasks of a play: optiprov itself, or ansible-core."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

from optiprov.deploy import ansible_names
from optiprov.deploy.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from optiprov.deploy.tasks import Task
    from optiprov.deploy.workflow import Play, Stage


PREPARING = frozenset({"roles", "pre_tasks", "post_tasks"})
"""Keywords of plays that the stage prepare runs, and no other."""

_MISSING = (
    "{what!r} is run by ansible-core, which is not installed. "
    "Install the extra 'ansible': pip install 'optiprov[ansible]'."
)


class Reason(NamedTuple):
    """Why only ansible-core can run a stage of a play."""

    path: Path
    line: int
    what: str


def reason_for_ansible(play: Play, stage: Stage) -> Reason | None:
    """Why only ansible-core can run a stage of a play; None if optiprov does it itself."""
    tasks = play.tasks[stage]
    for task in tasks:
        if task.needs_ansible is not None:
            return Reason(task.path, task.line, task.needs_ansible)
    for keyword in play.keywords:
        if stage == "prepare" and keyword in PREPARING:
            return Reason(play.path, play.line, keyword)
        if tasks and keyword in ansible_names.PLAY_KEYWORDS - PREPARING:
            return Reason(play.path, play.line, keyword)
    return None


def ansible_obstacles(plays: Iterable[Play]) -> tuple[Problem, ...]:
    """What stops a scenario from being deployed where ansible-core is not installed."""
    if find_spec("ansible") is not None:
        return ()
    reasons = [
        reason for play in plays for stage in play.tasks if (reason := reason_for_ansible(play, stage))
    ]
    return tuple(Problem(path, line, "", _MISSING.format(what=what)) for path, line, what in reasons)


def native_tasks(play: Play, stage: Stage) -> Iterable[Task]:
    """The tasks of a stage, with what the keywords of the play give all of them."""
    keywords = play.keywords
    for task in play.tasks[stage]:
        environment = keywords.get("environment") or ()
        own = environment if isinstance(environment, list | tuple) else (environment,)
        yield replace(
            task,
            environment=(*own, *task.environment),
            ignore_errors=task.ignore_errors or keywords.get("ignore_errors", False),
            is_secret=task.is_secret or bool(keywords.get("no_log", False)),
        )
