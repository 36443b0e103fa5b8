"""Writes docs/cli.md from the command line's own help."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from optiprov.cli.main import cli

TARGET = Path(__file__).parent / "cli.md"
_HEAD = """# Command line

This page is written by `make docs` from the commands' own help.

"""


def reference() -> str:
    """Return the page: the help of `optiprov` and of each command."""
    root = _context(cli, "optiprov", None)
    parts = [_HEAD, f"```text\n{cli.get_help(root)}\n```\n"]
    for name in cli.list_commands(root):
        command = cli.get_command(root, name)
        if command is not None:
            parts.append(_section(name, command, root))
            for below, its in command.commands.items() if isinstance(command, click.Group) else ():
                parts.append(_section(f"{name} {below}", its, _context(command, name, root)))
    return "".join(parts)


def _section(name: str, command: click.Command, parent: click.Context) -> str:
    text = command.get_help(_context(command, name.rpartition(" ")[2], parent))
    return f"\n## optiprov {name}\n\n```text\n{text}\n```\n"


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    """What `--help` of the command sees: its own settings, such as `-h`, but a fixed width."""
    settings = {**command.context_settings, "terminal_width": 100, "max_content_width": 100}
    return click.Context(command, info_name=name, parent=parent, **settings)


if __name__ == "__main__":
    TARGET.write_text(reference(), encoding="utf-8")
    sys.stdout.write(f"{TARGET}\n")
