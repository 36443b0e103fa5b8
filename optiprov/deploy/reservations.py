"""Ports reserved for deployments that outlive the process which deployed them: a file a port."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from optiprov.deploy.journal import read_journal


class Reservations:
    """The reservations of one deployment, and whether others have a port.

    A file is named after its port and holds the path of the deployment's journal. It counts as long as
    that journal is there and not closed, so that nothing a crash leaves behind takes a port for ever.

    Args:
        journal: The journal of the deployment; None for one that reserves nothing.
    """

    def __init__(self, journal: Path | None) -> None:
        self._journal = journal
        self._directory = _directory()
        self._ports: list[int] = []

    def is_taken(self, port: int) -> bool:
        """Whether another deployment has reserved a port."""
        if self._directory is None:
            return False
        try:
            journal = Path((self._directory / str(port)).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        if journal == self._journal:
            return False
        deployment = read_journal(journal)
        return deployment is not None and not deployment.is_closed

    def add(self, port: int) -> None:
        """Reserve a port."""
        if self._journal is None or self._directory is None:
            return
        (self._directory / str(port)).write_text(str(self._journal), encoding="utf-8")
        self._ports.append(port)

    def clear(self) -> None:
        """Give the ports back."""
        if self._directory is None:
            return
        for port in self._ports:
            (self._directory / str(port)).unlink(missing_ok=True)
        self._ports.clear()


def _directory() -> Path | None:
    """The user's directory of reservations; None where another user has made one of its name."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    place = Path(runtime) if runtime else Path(tempfile.gettempdir())
    directory = place / f"optiprov-{os.getuid()}" / "ports"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_own = directory.stat().st_uid == os.getuid() == directory.parent.stat().st_uid
    except OSError:
        return None
    return directory if is_own else None
