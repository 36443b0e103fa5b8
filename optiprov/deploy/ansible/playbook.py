"""What ansible-core gets: a playbook whose lines are those of workflow.yaml, and an inventory."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from optiprov.deploy.attempts import HOST_VARIABLE
from optiprov.deploy.plays import PREPARING
from optiprov.deploy.template_values import plain
from optiprov.deploy.templating import render

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from optiprov.deploy.play_variables import PlayHost
    from optiprov.deploy.workflow import Play, Stage
    from optiprov.deploy.yaml_source import KeyPath

CONNECTION = "optiprov_host"
ENVIRONMENT = "optiprov_environment"
"""The variable of a host that has the environment of its service."""

ASYNC_DIR = "ansible_async"
"""Where the background tasks of a host say what became of them, below its scratch directory."""

OWN_FETCH = "optiprov_fetch"
"""The action that fetches to where a deployment keeps what was fetched."""

_FETCHES = frozenset({"fetch", "ansible.builtin.fetch", "ansible.legacy.fetch"})

_PREFIX = re.compile(r"ansible\.(builtin|legacy)\.")
_TAKE_FILES = frozenset({"copy", "script", "template"})
_BELOW_WORKING_DIR = re.compile(r"""(^|\bsrc=)(["']?)\{\{\s*working_dir\s*\}\}/+""")

_ANSIBLES_OWN = frozenset(
    {"ansible_check_mode", "ansible_play_hosts", "ansible_play_hosts_all", "group_names", "groups"}
    | {"hostvars", "inventory_hostname", "inventory_hostname_short", "play_hosts", "playbook_dir"}
)


def playbook_text(play: Play, stage: Stage, hosts: Sequence[PlayHost]) -> str:
    """The playbook of a stage of a play: YAML in which each task stands in the line that it has there.

    So the file and line that Ansible tells of a task, in a block too, are those of the scenario.
    """
    keywords = {
        key: value for key, value in play.keywords.items() if stage == "prepare" or key not in PREPARING
    }
    tasks = play.tasks[stage]
    own = keywords.get("environment") or []
    head = {
        "hosts": [one.host.id for one in hosts],
        "gather_facts": False,
        **keywords,
        "environment": [f"{{{{ {ENVIRONMENT} }}}}", *(own if isinstance(own, list) else [own])],
    }
    writer = _FlowWriter(tasks[0].lines if tasks else {})
    writer.write("[{")
    for key, value in head.items():
        writer.write(f"{json.dumps(key)}: {json.dumps(plain(value), ensure_ascii=False)}, ")
    writer.write('"tasks": [')
    for task in tasks:
        writer.value(dict(task.raw), task.key_path)
        writer.write(", ")
    writer.write("]}]\n")
    return writer.text


def inventory(hosts: Sequence[PlayHost], marks: Mapping[str, str]) -> str:
    """The hosts with their variables, as JSON.

    Args:
        hosts: The hosts.
        marks: Environment variables by which processes are found.

    Raises:
        TemplateError: The `env` of a service cannot be rendered.
    """
    described = {}
    for one in hosts:
        own = {name: value for name, value in one.all_variables().items() if name not in _ANSIBLES_OWN}
        env = render(one.host.placement.env, one.all_variables())
        described[one.host.id] = {
            **plain(own),
            ENVIRONMENT: {
                **{str(name): str(value) for name, value in env.items()},
                HOST_VARIABLE: one.host.placement.own_id,
                **marks,
            },
            "ansible_connection": CONNECTION,
            "ansible_host": one.host.id,
            "ansible_become": False,  # a host has one user
            "ansible_python_interpreter": one.host.python,
            "ansible_remote_tmp": one.host.files.absolute(f"{one.host.scratch_dir}/ansible"),
            # Its modules expand ~ by HOME, which the host's processes have, and some by the user database.
            "ansible_async_dir": one.host.files.absolute(f"{one.host.scratch_dir}/{ASYNC_DIR}"),
        }
    return json.dumps({"all": {"hosts": described}})


def link_sources(directory: Path, sources: Sequence[Path]) -> None:
    """Have the playbook's directory lead to all that tasks may name: files, templates, roles, task files."""
    for source in sources:
        for path in source.iterdir():
            link = directory / path.name
            if not link.exists() and not link.is_symlink():
                link.symlink_to(path)


def _from_artifacts(arguments: Any) -> Any:
    """Arguments whose source below `working_dir` is sought among the artifacts, as E2Clab's users mean it."""
    if isinstance(arguments, str):
        return _BELOW_WORKING_DIR.sub(r"\1\2", arguments)
    if not isinstance(arguments, dict) or arguments.get("remote_src") not in (None, False, "no", "false"):
        return arguments
    return {
        name: _BELOW_WORKING_DIR.sub(r"\1\2", value)
        if name in ("src", "cmd") and isinstance(value, str)
        else value
        for name, value in arguments.items()
    }


class _FlowWriter:
    """Writes values as YAML in flow style, each not before the line that it has in another file."""

    def __init__(self, lines: Mapping[KeyPath, int]) -> None:
        self._lines = lines
        self._line = 1
        self._parts: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self._parts)

    def write(self, text: str) -> None:
        self._parts.append(text)
        self._line += text.count("\n")

    def value(self, value: Any, at: KeyPath) -> None:
        self._go_to(at)
        if isinstance(value, dict):
            self._mapping(value, at)
        elif isinstance(value, list):
            self.write("[")
            for index, element in enumerate(value):
                self.value(element, (*at, index))
                self.write(", ")
            self.write("]")
        else:
            self.write(json.dumps(plain(value), ensure_ascii=False))

    def _mapping(self, value: dict[Any, Any], at: KeyPath) -> None:
        self.write("{")
        for key, element in value.items():
            below = (*at, key if isinstance(key, int) else str(key))
            self._go_to(below)
            is_task = isinstance(at[-1], int)  # an element of a list
            is_fetch = key in _FETCHES and is_task
            if is_task and _PREFIX.sub("", str(key)) in _TAKE_FILES:
                element = _from_artifacts(element)
            self.write(f"{json.dumps(OWN_FETCH if is_fetch else str(key), ensure_ascii=False)}: ")
            self.value(element, below)
            self.write(", ")
        self.write("}")

    def _go_to(self, at: KeyPath) -> None:
        missing = self._lines.get(at, 0) - self._line
        if missing > 0:
            self.write("\n" * missing)
