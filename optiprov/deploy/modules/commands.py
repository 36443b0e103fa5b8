"""What the modules that run a process share: when it is not needed, and what it reads."""

from __future__ import annotations

import os.path
from typing import TYPE_CHECKING, Any

from optiprov.deploy.modules.base import Outcome
from optiprov.deploy.template_values import is_true

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optiprov.deploy.modules.base import ModuleContext

COMMAND_ARGUMENTS = ("chdir", "creates", "removes", "stdin", "stdin_add_newline", "strip_empty_ends", "warn")
FREE_FORM_WORDS = frozenset(COMMAND_ARGUMENTS)
READ_FROM = 'exec 0< "$1" && shift && exec "$@"'


def needless(arguments: Mapping[str, Any], context: ModuleContext) -> Outcome | None:
    """The outcome of a command that need not run: `creates` is there, or `removes` is not."""
    for name, is_there in (("creates", True), ("removes", False)):
        pattern = arguments.get(name)
        if not pattern:
            continue
        path = os.path.join(str(arguments.get("chdir") or ""), str(pattern))  # noqa: PTH118  a path of the host
        if bool(context.host.files.glob(path)) is is_there:
            state = "exists" if is_there else "does not exist"
            text = f"skipped, since {pattern} {state}"
            details = {"rc": 0, "stdout": text, "stdout_lines": [text], "stderr": "", "stderr_lines": []}
            return Outcome(
                changed=False, message=f"Did not run command since '{pattern}' {state}", details=details
            )
    return None


def with_input(argv: list[str], arguments: Mapping[str, Any], context: ModuleContext) -> list[str]:
    """The command with the argument `stdin` as its standard input."""
    text = arguments.get("stdin")
    if text is None:
        return argv
    if is_true(arguments.get("stdin_add_newline", True)):
        text = f"{text}\n"
    path = f"{context.host.scratch_dir}/{context.label}.stdin"
    context.host.write(str(text).encode(), path, name="", mode=0o600)
    return [context.host.shell, "-c", READ_FROM, "sh", context.host.files.absolute(path), *argv]
