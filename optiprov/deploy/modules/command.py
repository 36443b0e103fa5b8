"""command: a program with arguments, without a shell."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from optiprov.deploy.modules.base import CommandModule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from optiprov.deploy.providers.base import Host


class Command(CommandModule):
    """Runs a program; pipes, redirections and variables mean nothing to it."""

    name = "command"
    arguments = ("cmd", "argv", "chdir")
    free_form = "cmd"
    arguments_not_yet = frozenset({"creates", "removes", "stdin"})

    def problems(self, arguments: Mapping[str, Any]) -> Iterator[str]:
        """`cmd` and `argv` say the same thing: one of them is needed."""
        if ("cmd" in arguments) == ("argv" in arguments):
            yield "command needs either 'cmd' or 'argv'."
        elif not isinstance(arguments.get("argv", []), list):
            yield f"argv: got {arguments['argv']!r}, expected a list."

    def argv(self, arguments: Mapping[str, Any], host: Host) -> list[str]:
        """The program and its arguments, split as a shell would."""
        del host
        if "argv" in arguments:
            return [str(argument) for argument in arguments["argv"]]
        return shlex.split(str(arguments["cmd"]))
