"""The tasks of workflow.yaml as they stand there, also those that are not right."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from optiprov.deploy.validation import elements

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optiprov.deploy.yaml_source import KeyPath

STAGES = ("prepare", "launch", "finalize")
BLOCKS = ("block", "rescue", "always")
_PREFIX = re.compile(r"ansible\.(builtin|legacy)\.")
_KEY_VALUE = re.compile(r"""(\w+)=("[^"]*"|'[^']*'|(?:\{\{.*?\}\}|[^\s"'])+)""")
_FREE_FORM = {"script": "cmd", "shell": "cmd", "command": "cmd"}
_FILE_MODULES = frozenset({"copy", "fetch", "script", "template"})


class RawTask(NamedTuple):
    """One task as it stands in the file.

    Attributes:
        key_path: Where it stands.
        raw: What stands there.
        module: The file module that it uses, without a prefix; empty for all others.
        module_key: The key under which that stands.
    """

    key_path: KeyPath
    raw: dict[Any, Any]
    module: str
    module_key: str

    @property
    def keywords(self) -> set[str]:
        """The keys of the task."""
        return {str(key) for key in self.raw}


def tasks_of(plays: Any) -> Iterator[RawTask]:
    """The tasks of all plays, those in blocks too."""
    for index, play in enumerate(plays if isinstance(plays, list) else ()):
        yield from tasks_of_play(play, (index,))


def tasks_of_play(play: Any, at: KeyPath) -> Iterator[RawTask]:
    """The tasks of one play, in the order of its stages."""
    for stage in STAGES:
        yield from _tasks(play, stage, at)


def _tasks(value: Any, key: str, at: KeyPath) -> Iterator[RawTask]:
    for position, raw in elements(value, key):
        here = (*at, key, position)
        names = {_PREFIX.sub("", str(each)): str(each) for each in raw}
        module = next((name for name in names if name in _FILE_MODULES), "")
        yield RawTask(here, raw, module, names.get(module, ""))
        for block in BLOCKS:
            yield from _tasks(raw, block, here)


def arguments_of(task: RawTask) -> dict[str, Any]:
    """The arguments of a task's file module, in whichever form they stand."""
    given, extra = task.raw.get(task.module_key), task.raw.get("args")
    arguments = dict(extra) if isinstance(extra, dict) else {}
    if isinstance(given, dict):
        arguments |= given
    elif isinstance(given, str) and task.module in _FREE_FORM:
        arguments[_FREE_FORM[task.module]] = given
    elif isinstance(given, str):
        arguments |= {match[1]: match[2].strip("\"'") for match in _KEY_VALUE.finditer(given)}
    return arguments
