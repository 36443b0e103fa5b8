"""The functions that templates may call: `lookup` and `query` of what is on this machine, `now`."""

from __future__ import annotations

import os
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optiprov.deploy.template_values import OMIT, TemplateError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LOOKUP_TIMEOUT_S = 60.0


def _env(name: str, default: Any = "") -> Any:
    return os.environ.get(name, default)


def _file(name: str, *, rstrip: bool = True, lstrip: bool = False) -> str:
    text = Path(name).read_text(encoding="utf-8")
    text = text.rstrip() if rstrip else text
    return text.lstrip() if lstrip else text


def _fileglob(pattern: str) -> list[str]:
    path = Path(pattern)
    return sorted(str(found) for found in path.parent.glob(path.name) if found.is_file())


def _pipe(command: str) -> str:
    completed = subprocess.run(  # noqa: S602  a scenario's own command
        command,
        shell=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=LOOKUP_TIMEOUT_S,
        check=True,
        text=True,
    )
    return completed.stdout.rstrip()


def _lines(command: str) -> list[str]:
    return _pipe(command).splitlines()


LOOKUPS: Mapping[str, Callable[..., Any]] = {
    "env": _env,
    "file": _file,
    "fileglob": _fileglob,
    "lines": _lines,
    "pipe": _pipe,
}


def query(name: str, *terms: Any, **options: Any) -> list[Any]:
    """What a lookup finds for its terms, as a list; paths and commands are of this machine.

    Raises:
        TemplateError: There is no such lookup, or it failed.
    """
    lookup = LOOKUPS.get(name.removeprefix("ansible.builtin."))
    if lookup is None:
        raise TemplateError(f"there is no lookup {name!r}. There are: {', '.join(LOOKUPS)}")
    found: list[Any] = []
    try:
        for term in terms:
            value = lookup(term, **options)
            found.extend(value if isinstance(value, list) else [value])
    except (OSError, subprocess.SubprocessError) as error:
        raise TemplateError(f"lookup {name!r}: {error}") from error
    return found


def look_up(name: str, *terms: Any, wantlist: bool = False, **options: Any) -> Any:
    """What a lookup finds: the value where it is one, else a text with commas, or a list."""
    found = query(name, *terms, **options)
    if wantlist:
        return found
    return found[0] if len(found) == 1 else ",".join(str(value) for value in found)


def _now(utc: bool = False, fmt: str | None = None) -> Any:
    at = datetime.now(timezone.utc)
    at = at if utc else at.astimezone()
    return at.strftime(fmt) if fmt else at


GLOBALS: Mapping[str, Any] = {
    "lookup": look_up,
    "query": query,
    "q": query,
    "now": _now,
    "omit": OMIT,
}
