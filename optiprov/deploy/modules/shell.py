"""shell: a command line for the host's shell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optiprov.deploy.modules.base import CommandModule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optiprov.deploy.providers.base import Host


class Shell(CommandModule):
    """Runs a command line in bash where the host has one, else in sh."""

    name = "shell"
    arguments = ("cmd", "chdir")
    required = ("cmd",)
    free_form = "cmd"
    arguments_not_yet = frozenset({"creates", "removes", "executable", "stdin"})

    def argv(self, arguments: Mapping[str, Any], host: Host) -> list[str]:
        """The host's shell with the command line."""
        return [host.shell, "-c", str(arguments["cmd"])]
