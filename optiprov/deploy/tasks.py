"""The tasks of a workflow, in Ansible's form: what was read of them."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any, TypeAlias

from optiprov.deploy.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from optiprov.deploy.modules import Module
    from optiprov.deploy.yaml_source import KeyPath

Conditions: TypeAlias = "tuple[Any, ...]"
"""Expressions or booleans, all of which have to hold."""


@frozen
class Loop:
    """What a task is repeated for.

    Attributes:
        items: A list, or a template that gives one; of `with_dict` and `with_fileglob` what those take.
        kind: `loop`, or a lookup by its name: `items` flattens one level.
        variable: The name of the variable that holds the item.
        index_variable: The name of the variable that counts the items from 0, if one is wanted.
        label: What logs call an item; a template, None for the item itself.
        pause_s: Seconds between two items.
    """

    items: Any
    kind: str = "loop"
    variable: str = "item"
    index_variable: str | None = None
    label: Any = None
    pause_s: float = 0


@frozen
class Retry:
    """How often a task is tried until its conditions hold.

    Attributes:
        until: The conditions; empty for: it succeeds.
        retries: How often it is tried again, at most.
        delay_s: Seconds between two tries.
    """

    until: Conditions
    retries: Any = 3
    delay_s: Any = 5


@frozen
class Task:
    """One task of a play; what may hold templates has them not yet rendered.

    Attributes:
        name: What the scenario calls it, else the name of its module.
        module: What it does; None where only Ansible knows.
        path: The file in which it stands.
        line: Its line there.
        arguments: The module's arguments.
        environment: Environment variables for this task: mappings, of which the later ones go first.
        is_background: `poll: 0`: later tasks do not wait for it.
        limit_s: `async`: seconds after which it is ended, a template for them, or None for no limit.
        when: Conditions without which it is skipped.
        loop: What it is repeated for.
        register: The variable that gets its result.
        ignore_errors: Whether its failure stops nothing: a boolean or an expression.
        failed_when: Conditions that make it failed, instead of the module's own.
        changed_when: Conditions that make it changed, instead of the module's own.
        retry: How often it is tried.
        variables: Variables of its own.
        run_once: Whether the first host does it for all.
        is_secret: `no_log`: neither its arguments nor its output are written down.
        raw: The task as the file has it.
        key_path: Where it stands in the file.
        lines: The lines of the file, by key path.
        needs_ansible: Why only ansible-core can run it; None if that is not so.
    """

    name: str
    module: Module | None
    path: Path
    line: int
    arguments: Mapping[str, Any] = field(default_factory=dict)
    environment: tuple[Any, ...] = ()
    is_background: bool = False
    limit_s: float | str | None = None
    when: Conditions = ()
    loop: Loop | None = None
    register: str | None = None
    ignore_errors: Any = False
    failed_when: Conditions | None = None
    changed_when: Conditions | None = None
    retry: Retry | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    run_once: bool = False
    is_secret: bool = False
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)
    key_path: KeyPath = ()
    lines: Mapping[KeyPath, int] = field(default_factory=dict, repr=False)
    needs_ansible: str | None = None

    @property
    def module_name(self) -> str:
        """Ansible's name of its module, without a prefix."""
        return self.module.name if self.module is not None else str(self.needs_ansible)
