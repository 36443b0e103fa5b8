"""The files that a scenario names, against those that there are."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optiprov.deploy.problems import suggestion
from optiprov.deploy.task_texts import arguments_of, tasks_of
from optiprov.deploy.validation import mapping

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from optiprov.deploy.problems import Problems
    from optiprov.deploy.surroundings import Surroundings
    from optiprov.deploy.task_texts import RawTask
    from optiprov.deploy.yaml_source import YamlSource

_SIMPLE = re.compile(r"\{\{\s*([A-Za-z_]\w*)(?:\.([A-Za-z_]\w*))?\s*\}\}")
_HERE = ("artifacts_dir", "working_dir", "scenario_dir")
_LOOPS = ("loop", "with_items", "with_list")
_LOCALLY = frozenset({"delegate_to", "local_action"})
_MAY_NOT_RUN = frozenset({"when", "ignore_errors"})


def may_have_services(names: Collection[str], artifacts_dir: Path) -> bool:
    """Whether some class may deploy a service of one of these names; looking for it takes imports.

    There is one of ours of this name, or the user has added some, or the artifacts or installed packages have
    files that tell of services.
    """
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")  # noqa: PTH111  no exception
    return (
        not _SHIPPED.isdisjoint(names)
        or any(map(mentions_services, _in(str(artifacts_dir), ".py")))
        or bool(_in(os.path.join(data, "optiprov", "services"), ".py"))  # noqa: PTH118  quick
        or any(
            _has(f"{path}/entry_points.txt", _GROUP) for one in sys.path for path in _in(one, ".dist-info")
        )
    )


_SHIPPED = frozenset({"Container", "Mosquitto", "Provenance"})
_SERVICE = re.compile(rb"\bService\b|\boptiprov\.deploy\.services\b")
_GROUP = re.compile(rb"^\[optiprov\.services\]", re.MULTILINE)
_MAX_BYTES = 1 << 20


def mentions_services(path: str) -> bool:
    """Whether a file may have the class of a service, as a look at its bytes tells."""
    return _has(path, _SERVICE)


def _in(directory: str, suffix: str) -> list[str]:
    try:
        return [entry.path for entry in os.scandir(directory or ".") if entry.name.endswith(suffix)]
    except OSError:
        return []


def _has(path: str, wanted: re.Pattern[bytes]) -> bool:
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123  hundreds of them
            return wanted.search(file.read(_MAX_BYTES)) is not None
    except OSError:
        return False


def check_named_files(source: YamlSource, around: Surroundings, problems: Problems) -> None:
    """Report files of the artifacts that layers_services.yaml names and that do not exist."""
    for section, key in (("provenance", "dataflow_spec"), ("monitoring", "agent_conf")):
        name = mapping(source.value, section).get(key)
        if isinstance(name, str) and not _exists(name, around):
            source.report(problems, (section, key), _missing(name, around))


def check_artifacts(source: YamlSource, around: Surroundings, problems: Problems) -> None:
    """Report what tasks take from the artifacts or the scenario and is not there.

    Told is only what is certain: a path that needs a variable of a host or of a trial is left to the
    task, as is a task under a condition, and what a task fetches to where another takes it.
    """
    tasks = list(tasks_of(source.value))
    fetches = (task for task in tasks if task.module == "fetch")
    made = [path.rstrip("/") for task in fetches for path in _paths(task, "dest", around)]
    for task in tasks:
        if _MAY_NOT_RUN & task.keywords or _LOCALLY & task.keywords or task.module not in _SOURCES:
            continue
        key = _SOURCES[task.module]
        if task.module == "copy" and arguments_of(task).get("remote_src") not in (None, False, "no", "false"):
            continue
        for path in _paths(task, key, around):
            if not _exists(path, around) and not any(one and path.startswith(one) for one in made):
                where = (*task.key_path, task.module_key)
                is_mapping = isinstance(task.raw.get(task.module_key), dict)
                source.report(problems, (*where, key) if is_mapping else where, _missing(path, around))


_SOURCES = {"copy": "src", "template": "src", "script": "cmd"}


def _paths(task: RawTask, key: str, around: Surroundings) -> Iterator[str]:
    """The paths that an argument names, as far as they can be known."""
    text = arguments_of(task).get(key)
    if not isinstance(text, str) or text.startswith("~"):
        return
    if task.module == "script":
        text = text.split(maxsplit=1)[0] if text.split() else ""
    found: dict[str, None] = {}
    for item in _items(task):
        for values in around.app_confs or [{}]:
            path = _filled(text, item, values, around)
            if path and "{" not in path:
                found[path] = None
    yield from found


def _items(task: RawTask) -> list[Any]:
    """What `item` is, in turn: the elements of a list that is written out; else nothing known."""
    for keyword in _LOOPS:
        if isinstance(task.raw.get(keyword), list):
            return list(task.raw[keyword])
    return [None]


def _filled(text: str, item: Any, values: Mapping[str, Any], around: Surroundings) -> str:
    """A text with the variables filled in that are known before there are hosts."""

    def value(match: re.Match[str]) -> str:
        name, attribute = match[1], match[2]
        if name in _HERE and attribute is None:
            directory = around.directory if name == "scenario_dir" else around.artifacts_dir
            return str(directory.absolute())
        if name == "item":
            found = item.get(attribute) if isinstance(item, dict) and attribute else item
        else:
            found = values.get(name.removeprefix("env_")) if name.startswith("env_") else None
        known = isinstance(found, str | int) and not isinstance(found, bool) and "{" not in str(found)
        return str(found) if known else match[0]

    return _SIMPLE.sub(value, text)


def _exists(path: str, around: Surroundings) -> bool:
    try:
        return any((directory / path).exists() for directory in (around.artifacts_dir, around.directory))
    except (OSError, ValueError):  # such as a name that is too long, or has a null byte
        return False


def _missing(path: str, around: Surroundings) -> str:
    directories = list(dict.fromkeys([around.artifacts_dir, around.directory]))
    looked = " and ".join(f"{str(directory)!r}" for directory in directories)
    return f"got {path!r}, which does not exist. {_nearest(path, directories)}Looked in {looked}."


def _nearest(path: str, directories: list[Path]) -> str:
    """The likely meant spelling, among the files beside the one that is missing."""
    parent, name = Path(path).parent, Path(path).name
    for directory in directories:
        beside = directory / parent
        try:
            names = [other.name for other in beside.iterdir()]
        except (OSError, ValueError):
            continue
        if hint := suggestion(name, names):
            return hint
    return ""


def template_file(task: RawTask, around: Surroundings) -> Path | None:
    """The file that a template task renders, where it can be known and exists."""
    if task.module != "template":
        return None
    for path in _paths(task, "src", around):
        for directory in (around.artifacts_dir, around.directory):
            try:
                if (directory / path).is_file():
                    return directory / path
            except (OSError, ValueError):
                continue
    return None
