"""Ports reserved for deployments that outlive the process which deployed them: a link a port."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from optiprov.deploy.journal import read_journal

_ATTEMPTS = 5


class Reservations:
    """The reservations of one deployment, and whether others have a port.

    A link is named after its port and leads to the deployment's journal. It counts as long as that journal is
    there and not closed, so that nothing a crash leaves behind takes a port for ever.

    Args:
        journal: The journal of the deployment; None for one that reserves nothing.
    """

    def __init__(self, journal: Path | None) -> None:
        self._journal = journal
        self._directory = _directory()

    def is_taken(self, port: int) -> bool:
        """Whether another deployment has reserved a port."""
        try:
            journal = (self._directory / str(port)).readlink()
        except OSError:
            return False
        if journal == self._journal:
            return False
        deployment = read_journal(journal)
        return deployment is not None and not deployment.is_closed

    def add(self, port: int) -> None:
        """Reserve a port; a directory of this name that is another user's is left alone."""
        if self._journal is None:
            return
        for _ in range(_ATTEMPTS):  # a deployment that ends may remove the directory in between
            with contextlib.suppress(OSError):
                self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                if self._directory.parent.stat().st_uid == os.getuid():
                    link = self._directory / str(port)
                    link.unlink(missing_ok=True)
                    link.symlink_to(self._journal)
                return

    def clear(self) -> None:
        """Give the ports back, those that an earlier process reserved too, and leave no empty directory.

        Such a process may have been killed before it could journal the host that a port was for. Links to
        journals that are gone go too.
        """
        if self._journal is None or not self._directory.is_dir():
            return
        for reserved in list(self._directory.iterdir()):
            with contextlib.suppress(OSError):
                if reserved.readlink() == self._journal or not reserved.exists():
                    reserved.unlink()
        with contextlib.suppress(OSError):  # others have ports still
            self._directory.rmdir()
            self._directory.parent.rmdir()


def _directory() -> Path:
    """Return the user's directory of reservations."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return Path(runtime or tempfile.gettempdir()) / f"optiprov-{os.getuid()}" / "ports"
