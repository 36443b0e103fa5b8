"""The file workflow.yaml: plays, each with the tasks of its stages."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any, Literal, get_args

from optiprov.deploy.frozen import frozen
from optiprov.deploy.models import PlayModel
from optiprov.deploy.task_reading import read_task
from optiprov.deploy.validation import shown, validate

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from optiprov.deploy.models import Dependency
    from optiprov.deploy.patterns import KnownHosts
    from optiprov.deploy.problems import Problems
    from optiprov.deploy.tasks import Task
    from optiprov.deploy.yaml_source import YamlSource

Stage = Literal["prepare", "launch", "finalize"]
STAGES: tuple[Stage, ...] = get_args(Stage)


@frozen
class Play:
    """Tasks for the hosts that a pattern selects.

    Attributes:
        hosts: The pattern.
        path: The file in which it stands.
        line: Its line there.
        name: What the scenario calls it; empty if it has no name.
        depends_on: The services that its hosts learn about.
        tasks: Its tasks, by stage.
        keywords: Further keywords of Ansible (become, vars, ...), as they stand there.
    """

    hosts: str
    path: Path
    line: int
    name: str = ""
    depends_on: tuple[Dependency, ...] = ()
    tasks: Mapping[Stage, tuple[Task, ...]] = field(default_factory=dict)
    keywords: Mapping[str, Any] = field(default_factory=dict)


def read_workflow(source: YamlSource, known: KnownHosts, problems: Problems) -> tuple[Play, ...]:
    """The plays of a workflow file; what is wrong with any of them is noted."""
    if not isinstance(source.value, list):
        source.report(
            problems, (), f"got {shown(source.value)}, expected a list of plays, each with 'hosts'."
        )
        return ()
    plays = [_read_play(source, index, known, problems) for index in range(len(source.value))]
    return tuple(play for play in plays if play is not None)


def _read_play(source: YamlSource, index: int, known: KnownHosts, problems: Problems) -> Play | None:
    raw = source.value[index]
    model = validate(source, PlayModel, problems, value=raw, at=(index,))
    if not isinstance(raw, dict):
        return None
    known.check(source, (index, "hosts"), raw.get("hosts"), problems)
    dependencies = raw.get("depends_on")
    for position, dependency in enumerate(dependencies if isinstance(dependencies, list) else ()):
        selector = dependency.get("service_selector") if isinstance(dependency, dict) else None
        known.check(source, (index, "depends_on", position, "service_selector"), selector, problems)
    tasks = {stage: _read_tasks(source, index, stage, raw, problems) for stage in STAGES}
    if model is None:
        return None
    return Play(
        hosts=model.hosts,
        path=source.path,
        line=source.line((index,)),
        name=model.name or "",
        depends_on=tuple(model.depends_on or ()),
        tasks=tasks,
        keywords=model.keywords,
    )


def _read_tasks(
    source: YamlSource, index: int, stage: Stage, raw: dict[str, Any], problems: Problems
) -> tuple[Task, ...]:
    elements = raw.get(stage)
    if not isinstance(elements, list):
        return ()  # None is no task; anything else the model has reported
    tasks = [
        read_task(source, (index, stage, position), element, problems)
        for position, element in enumerate(elements)
    ]
    return tuple(task for task in tasks if task is not None)
