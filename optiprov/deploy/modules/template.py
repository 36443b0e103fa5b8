"""template: a file of the scenario, rendered, onto the host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optiprov.deploy.modules.base import FileContext, FileModule, parse_mode

if TYPE_CHECKING:
    from collections.abc import Mapping


class Template(FileModule):
    """Renders a file with the variables of the task; `src` is sought as by `copy`."""

    name = "template"
    arguments = ("src", "dest", "mode")
    required = ("src", "dest")
    arguments_not_yet = frozenset({"backup", "force", "group", "owner", "newline_sequence"})

    def apply(self, arguments: Mapping[str, Any], context: FileContext) -> str:
        """Render, write, and say where to."""
        dest = str(arguments["dest"])
        source = context.source(str(arguments["src"]))
        text = context.render(source.read_text(encoding="utf-8"))
        name = source.name.removesuffix(".j2")
        context.host.write(text.encode(), dest, name=name, mode=parse_mode(arguments.get("mode")))
        return f"rendered {source} to {dest}"
