"""Puts the content of one file where a task wants it, only if it is not there already."""

from __future__ import annotations

import hashlib
import os.path
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optiprov.deploy.modules.base import Outcome
from optiprov.deploy.modules.modes import permission_bits
from optiprov.deploy.template_values import is_true

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optiprov.deploy.modules.base import ModuleContext

ATTRIBUTES = ("mode", "owner", "group")
NEW_FILE_MODE = 0o666


def place_file(
    source: bytes | Path, name: str, arguments: Mapping[str, Any], context: ModuleContext
) -> Outcome:
    """Write a file to `dest`, or below it as `name` if that is a directory or ends with a slash.

    Args:
        source: Its content, or a file of this machine.
        name: Its own name.
        arguments: `dest`, `force`, `mode`, `owner`, `group` of the task.
        context: Where to.
    """
    files = context.host.files
    dest = str(arguments["dest"])
    target = os.path.join(dest, name) if dest.endswith("/") or files.kind(dest) == "directory" else dest  # noqa: PTH118  a path of the host
    content = source.read_bytes() if isinstance(source, Path) else source
    checksum = hashlib.sha1(content, usedforsecurity=False).hexdigest()
    there = files.kind(target)
    changed = False
    if there == "absent" or (is_true(arguments.get("force", True)) and files.checksum(target) != checksum):
        mode = None if there == "absent" else files.mode(target)
        context.host.write(source, target, name=name, mode=mode)
        changed = True
    if arguments.get("mode") == "preserve" and isinstance(source, Path):
        arguments = {**arguments, "mode": source.stat().st_mode & 0o7777}
    changed |= set_attributes(target, arguments, context)
    details = {"dest": target, "checksum": checksum, "size": len(content), "state": "file"}
    return Outcome(
        changed=changed,
        message=f"wrote {target}" if changed else f"{target} is as it should be",
        details=details,
    )


def set_attributes(path: str, arguments: Mapping[str, Any], context: ModuleContext) -> bool:
    """Give a path of the host the `mode`, `owner` and `group` that a task wants; whether that changed it."""
    files = context.host.files
    changed = False
    wanted = arguments.get("mode")
    if wanted not in (None, "preserve"):
        current = files.mode(path)
        mode = permission_bits(wanted, current, is_directory=files.kind(path) == "directory")
        if mode is not None and mode != current:
            files.set_mode(path, mode)
            changed = True
    owner, group = arguments.get("owner"), arguments.get("group")
    if owner is not None or group is not None:
        changed |= files.set_owner(path, owner, group)
    return changed
