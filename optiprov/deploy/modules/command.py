"""command: a program with arguments, without a shell."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

from optiprov.deploy.modules.base import CommandModule
from optiprov.deploy.modules.commands import COMMAND_ARGUMENTS, FREE_FORM_WORDS
from optiprov.deploy.template_values import is_true

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from optiprov.deploy.modules.base import ModuleContext

_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})", re.ASCII)
_SPECIAL = re.compile(r'(["\\$`])')


class Command(CommandModule):
    """Runs a program; pipes and redirections mean nothing to it, `$NAME` and `~` are expanded."""

    name = "command"
    arguments = ("cmd", "argv", "expand_argument_vars", *COMMAND_ARGUMENTS)
    free_form = "cmd"
    free_form_words = FREE_FORM_WORDS | {"expand_argument_vars"}

    def problems(self, arguments: Mapping[str, Any]) -> Iterator[str]:
        """`cmd` and `argv` say the same thing: one of them is needed."""
        argv = arguments.get("argv", [])
        if ("cmd" in arguments) == ("argv" in arguments):
            yield "command needs either 'cmd' or 'argv'."
        elif not isinstance(argv, list) and "{{" not in str(argv):
            yield f"argv: got {argv!r}, expected a list."

    def argv(self, arguments: Mapping[str, Any], context: ModuleContext) -> list[str]:
        """The program and its arguments, split as a shell would."""
        if "argv" in arguments:
            if not isinstance(arguments["argv"], list):
                raise ValueError(f"argv: got {arguments['argv']!r}, expected a list")
            argv = [str(argument) for argument in arguments["argv"]]
        else:
            argv = shlex.split(str(arguments["cmd"]))
        if not argv:
            raise ValueError("the command is empty")
        if is_true(arguments.get("expand_argument_vars", True)) and any(map(_is_expandable, argv)):
            return [context.host.shell, "-c", f"exec {' '.join(map(_expanded, argv))}"]
        return argv


def _is_expandable(argument: str) -> bool:
    return argument.startswith("~") or _VARIABLE.search(argument) is not None


def _expanded(argument: str) -> str:
    """An argument for a shell, which puts variables that there are in the place of their names."""
    home = ""
    if argument == "~" or argument.startswith("~/"):
        home, argument = '"$HOME"', argument[1:]
    parts, position = [], 0
    for match in _VARIABLE.finditer(argument):
        name = match[1] or match[2]
        literal = _SPECIAL.sub(r"\\\1", match[0]).replace("}", "\\}")
        parts += [_SPECIAL.sub(r"\\\1", argument[position : match.start()]), f"${{{name}-{literal}}}"]
        position = match.end()
    parts.append(_SPECIAL.sub(r"\\\1", argument[position:]))
    return f'{home}"{"".join(parts)}"'
