"""The file workflow.yaml: plays; the tasks of their stages have readers of their own (`tasks`)."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any, ClassVar

from optiprov.deploy.frozen import frozen
from optiprov.deploy.kinds import Anything, Choice, ListOf, Schema, Text
from optiprov.deploy.models.base import Model, Nested, key

if TYPE_CHECKING:
    from collections.abc import Mapping

GROUPINGS = ("round_robin", "asarray", "aggregate", "address_match")
ARRAY_INFOS = ("id", "hostname", "url", "g5k_ipv6_hostname")

PLAY_KEYWORDS = frozenset(
    {"any_errors_fatal", "become", "become_exe", "become_flags", "become_method", "become_user"}
    | {"check_mode", "collections", "connection", "debugger", "diff", "environment", "fact_path"}
    | {"force_handlers", "gather_facts", "gather_subset", "gather_timeout", "handlers", "ignore_errors"}
    | {"ignore_unreachable", "max_fail_percentage", "module_defaults", "no_log", "order", "port"}
    | {"post_tasks", "pre_tasks", "remote_user", "roles", "run_once", "serial", "strategy", "tags"}
    | {"throttle", "timeout", "vars", "vars_files", "vars_prompt"}
)
"""Ansible's keywords of a play, beside those that models name (`tasks` is what stages are here)."""

_PREFIX = Text(
    r"[A-Za-z_][A-Za-z0-9_]*", "a variable name: letters, digits and '_', not starting with a digit"
)
TASK_DEFINITION = "Task"
"""The definition in the JSON Schema of workflow.yaml that tells what a task may be."""


class _Task(Anything):
    """A task, which `task_reading` reads."""

    def json_schema(self, definitions: dict[str, Schema]) -> Schema:
        """A reference to a definition that `json_schema` completes."""
        definitions.setdefault(TASK_DEFINITION, {})
        return {"$ref": f"#/$defs/{TASK_DEFINITION}"}


_TASKS = ListOf(_Task())


@frozen(kw_only=True)
class Dependency(Model):
    """One entry of `depends_on`: which services a play's hosts learn about, and under which name."""

    service_selector: str = key(Text(), "The hosts of the services in question.")
    prefix: str = key(_PREFIX, "The name of the variable.")
    grouping: str = key(Choice(GROUPINGS), "Which variables the hosts get.", default="round_robin")
    array_info: str = key(
        Choice(ARRAY_INFOS, {"ipv6_hostname": "g5k_ipv6_hostname"}),
        "What the elements are with asarray.",
        default="id",
    )


@frozen(kw_only=True)
class PlayModel(Model):
    """One play of workflow.yaml.

    Attributes:
        keywords: Ansible's further keywords, as they stand there.
    """

    open_field: ClassVar[str | None] = "keywords"
    open_keys: ClassVar[frozenset[str] | None] = PLAY_KEYWORDS
    hints: ClassVar[Mapping[str, str]] = {
        "tasks": "unknown key 'tasks'. Tasks stand in the stages: prepare, launch, finalize."
    }

    hosts: str = key(Text(), "The hosts of the play.")
    name: str | None = key(Text(), "What the play is called.", default=None)
    depends_on: tuple[Dependency, ...] | None = key(
        ListOf(Nested(Dependency)), "The services that its tasks learn about.", default=None
    )
    prepare: tuple[Any, ...] | None = key(_TASKS, "The tasks before the application runs.", default=None)
    launch: tuple[Any, ...] | None = key(_TASKS, "The tasks that run the application.", default=None)
    finalize: tuple[Any, ...] | None = key(_TASKS, "The tasks that fetch results.", default=None)
    keywords: Mapping[str, Any] = field(default_factory=dict)
