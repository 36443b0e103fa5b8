"""Where the sockets of ssh's connections lie: a short private directory, as their paths are limited."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

from optiprov.errors import DeploymentError

LONGEST_PATH = 108 - 1 - 17
"""Of a socket (unix(7)), but for what ssh adds to its name while it makes it."""

_NAME_LENGTH = 16


def control_path(name: str) -> Path:
    """The socket of a connection; its directory is made.

    Args:
        name: What names the connection, of any length.

    Raises:
        DeploymentError: There is no directory that nobody else can change.
    """
    socket = hashlib.sha256(name.encode()).hexdigest()[:_NAME_LENGTH]
    for parent in _parents():
        directory = parent / f"optiprov-{os.getuid()}" / "ssh"
        if len(os.fsencode(directory / socket)) > LONGEST_PATH:
            continue
        with contextlib.suppress(OSError):
            for made in (directory.parent, directory):
                made.mkdir(mode=0o700, parents=True, exist_ok=True)
            if _is_private(directory.parent) and _is_private(directory):
                return directory / socket
    raise DeploymentError(
        "there is no private directory with a short path for the connections of ssh. Have XDG_RUNTIME_DIR "
        "name one."
    )


def remove_control_path(path: Path) -> None:
    """Remove a socket; its directory stays, as another process may be about to make its own there."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def _parents() -> list[Path]:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return [Path(one) for one in (runtime, tempfile.gettempdir(), "/tmp") if one]  # noqa: S108  made private


def _is_private(directory: Path) -> bool:
    status = directory.lstat()
    return directory.is_dir() and status.st_uid == os.getuid() and not status.st_mode & 0o022
