"""copy: files of the scenario, or a text, onto the host."""

from __future__ import annotations

import hashlib
import json
import os.path
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optiprov.deploy.modules.base import DirectModule, ModuleContext, Outcome
from optiprov.deploy.modules.placing import ATTRIBUTES, place_file, set_attributes
from optiprov.deploy.template_values import is_true

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Copy(DirectModule):
    """Copies a file or directory; a relative `src` is sought in the artifacts, then in the scenario.

    A directory is copied as a whole, its content alone if `src` ends with a slash (as Ansible does).
    """

    name = "copy"
    arguments = ("src", "dest", "content", "force", "remote_src", "directory_mode", *ATTRIBUTES)
    required = ("dest",)
    arguments_of_ansible = frozenset(
        {"attributes", "backup", "checksum", "decrypt", "follow", "local_follow", "selevel", "serole"}
        | {"setype", "seuser", "unsafe_writes", "validate"}
    )

    def problems(self, arguments: Mapping[str, Any]) -> Iterator[str]:
        """Either `src` or `content` is needed."""
        if ("src" in arguments) == ("content" in arguments):
            yield "copy needs either 'src' or 'content'."

    def apply(self, arguments: Mapping[str, Any], context: ModuleContext) -> Outcome:
        """Copy, and say where to."""
        if "content" in arguments:
            content = arguments["content"]
            text = json.dumps(content) if isinstance(content, dict | list) else str(content)
            return place_file(text.encode(), "content", arguments, context)
        src = str(arguments["src"])
        if is_true(arguments.get("remote_src", False)):
            return self._on_host(src, arguments, context)
        source = context.source(src)
        if source.is_dir():
            return self._directory(source, arguments, context, content_only=src.endswith("/"))
        return place_file(source, source.name, arguments, context)

    def _on_host(self, src: str, arguments: Mapping[str, Any], context: ModuleContext) -> Outcome:
        files = context.host.files
        if files.kind(src) == "absent":
            raise FileNotFoundError(f"src {src!r} is not on host {context.host.id} (remote_src)")
        if files.kind(src) == "directory":
            changed = files.copy_directory(src, str(arguments["dest"]), content_only=src.endswith("/"))
            return Outcome(
                changed=changed,
                message=f"copied {src} to {arguments['dest']}",
                details={"src": src, "dest": arguments["dest"]},
            )
        with_mode = {"mode": "preserve", **arguments}
        mode = files.mode(src) if with_mode["mode"] == "preserve" else with_mode["mode"]
        return place_file(files.read(src), Path(src).name, {**arguments, "mode": mode}, context)

    def _directory(
        self, source: Path, arguments: Mapping[str, Any], context: ModuleContext, *, content_only: bool
    ) -> Outcome:
        dest = str(arguments["dest"])
        files = context.host.files
        target = dest if content_only else os.path.join(dest, source.name)  # noqa: PTH118  a path of the host
        found = [path for path in source.rglob("*") if path.is_file()]
        below = [os.path.join(target, path.relative_to(source)) for path in found]  # noqa: PTH118  a path of the host
        changed = files.kind(target) != "directory" or any(
            files.checksum(there) != hashlib.sha1(here.read_bytes(), usedforsecurity=False).hexdigest()
            for here, there in zip(found, below, strict=True)
        )
        if changed:
            context.host.put_directory(source, dest, content_only=content_only)
        if arguments.get("mode") not in (None, "preserve") or {"owner", "group"} & set(arguments):
            made = [set_attributes(path, arguments, context) for path in below]
            changed |= any(made)
        return Outcome(
            changed=changed,
            message=f"copied {source} to {dest}" if changed else f"{source} is at {dest} already",
            details={"src": str(source), "dest": target},
        )
