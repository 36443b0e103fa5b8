"""copy: files of the scenario, or a text, onto the host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optiprov.deploy.modules.base import FileContext, FileModule, parse_mode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Copy(FileModule):
    """Copies a file or directory; a relative `src` is sought in the artifacts, then in the scenario.

    A directory is copied as a whole, its content alone if `src` ends with a slash (as Ansible does).
    """

    name = "copy"
    arguments = ("src", "dest", "content", "mode")
    required = ("dest",)
    arguments_not_yet = frozenset({"backup", "directory_mode", "force", "group", "owner", "remote_src"})

    def problems(self, arguments: Mapping[str, Any]) -> Iterator[str]:
        """Either `src` or `content` is needed."""
        if ("src" in arguments) == ("content" in arguments):
            yield "copy needs either 'src' or 'content'."

    def apply(self, arguments: Mapping[str, Any], context: FileContext) -> str:
        """Copy, and say where to."""
        dest, mode = str(arguments["dest"]), parse_mode(arguments.get("mode"))
        if "content" in arguments:
            context.host.write(str(arguments["content"]).encode(), dest, name="content", mode=mode)
            return f"wrote {dest}"
        src = str(arguments["src"])
        source = context.source(src)
        preserves = arguments.get("mode") == "preserve"
        if preserves and source.is_file():
            mode = source.stat().st_mode & 0o7777
        if source.is_dir():
            context.host.put_directory(source, dest, content_only=src.endswith("/"))
        else:
            context.host.write(source, dest, name=source.name, mode=mode)
        return f"copied {source} to {dest}"
