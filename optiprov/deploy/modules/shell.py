"""shell: a command line for the host's shell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optiprov.deploy.modules.base import CommandModule
from optiprov.deploy.modules.commands import COMMAND_ARGUMENTS, FREE_FORM_WORDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optiprov.deploy.modules.base import ModuleContext


class Shell(CommandModule):
    """Runs a command line in `executable`: by default bash where the host has one, else sh."""

    name = "shell"
    arguments = ("cmd", "executable", *COMMAND_ARGUMENTS)
    required = ("cmd",)
    free_form = "cmd"
    free_form_words = FREE_FORM_WORDS | {"executable"}

    def argv(self, arguments: Mapping[str, Any], context: ModuleContext) -> list[str]:
        """The shell with the command line."""
        return [str(arguments.get("executable") or context.host.shell), "-c", str(arguments["cmd"])]
