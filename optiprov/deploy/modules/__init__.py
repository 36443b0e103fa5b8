"""What tasks do: one module a file, by Ansible's names."""

from optiprov.deploy.modules.base import CommandModule, FileModule, Module
from optiprov.deploy.modules.command import Command
from optiprov.deploy.modules.copy import Copy
from optiprov.deploy.modules.fetch import Fetch
from optiprov.deploy.modules.shell import Shell
from optiprov.deploy.modules.template import Template

MODULES: dict[str, Module] = {
    module.name: module for module in (Command(), Copy(), Fetch(), Shell(), Template())
}

# Ansible's, known to the messages so that they can tell a gap from a misspelling.
MODULES_NOT_YET = frozenset(
    {"apt", "assert", "blockinfile", "debug", "docker_container", "dnf", "fail", "file", "get_url"}
    | {"git", "include_tasks", "lineinfile", "pause", "pip", "script", "service", "set_fact", "stat"}
    | {"synchronize", "systemd", "unarchive", "uri", "user", "wait_for", "yum"}
)

__all__ = ["MODULES", "MODULES_NOT_YET", "CommandModule", "FileModule", "Module"]
