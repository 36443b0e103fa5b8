"""script: a program of the scenario, run on the host."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from optiprov.deploy.modules.base import CommandModule
from optiprov.deploy.modules.commands import COMMAND_ARGUMENTS, FREE_FORM_WORDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optiprov.deploy.modules.base import ModuleContext


class Script(CommandModule):
    """Copies a program to the host and runs it with the arguments that follow; `src` as by `copy`."""

    name = "script"
    arguments = ("cmd", "executable", *(one for one in COMMAND_ARGUMENTS if one != "strip_empty_ends"))
    strips_output = False
    required = ("cmd",)
    free_form = "cmd"
    free_form_words = FREE_FORM_WORDS | {"executable", "cmd"}

    def argv(self, arguments: Mapping[str, Any], context: ModuleContext) -> list[str]:
        """The copied program with its arguments, in a shell as Ansible has it."""
        command = str(arguments["cmd"]).strip()
        words = shlex.split(command)
        if not words:
            raise ValueError("the command is empty")
        source = context.source(words[0])
        path = f"{context.host.scratch_dir}/{context.label}/{source.name}"
        context.host.write(source, path, name=source.name, mode=0o700)
        program = shlex.quote(context.host.files.absolute(path))
        if arguments.get("executable"):
            program = f"{arguments['executable']} {program}"
        rest = shlex.join(words[1:]) if command[:1] in "\"'" else command[len(words[0]) :]
        return [context.host.shell, "-c", f"{program} {rest.strip()}"]
