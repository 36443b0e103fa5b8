"""What tasks do: one module a file, by Ansible's names."""

from optiprov.deploy.modules.base import CommandModule, DirectModule, Module, ModuleContext, Outcome
from optiprov.deploy.modules.command import Command
from optiprov.deploy.modules.copy import Copy
from optiprov.deploy.modules.debug import Debug
from optiprov.deploy.modules.fetch import Fetch
from optiprov.deploy.modules.file import File
from optiprov.deploy.modules.script import Script
from optiprov.deploy.modules.shell import Shell
from optiprov.deploy.modules.template import Template

MODULES: dict[str, Module] = {
    module.name: module
    for module in (Command(), Copy(), Debug(), Fetch(), File(), Script(), Shell(), Template())
}

__all__ = ["MODULES", "CommandModule", "DirectModule", "Module", "ModuleContext", "Outcome"]
