"""The provenance spools of this host: those whose client has ended are held, to be taken away whole."""

from __future__ import annotations

import fcntl
import os
import shutil

_CLOSING = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC


class HeldSpools:
    """The locks of spools that are being taken away; the kernel lets go of them with this process."""

    def __init__(self) -> None:
        self._locks: dict[str, int] = {}

    def hold(self, directory: str) -> dict[str, bool]:
        """Hold the spools of all clients below a directory; by name, whether the client has ended."""
        return {name: self._hold(os.path.join(directory, name)) for name in _clients(directory)}

    def let_go(self, spool: str, *, remove: bool) -> None:
        """Let go of a spool, which is removed where it was taken away."""
        lock = self._locks.pop(spool, None)
        if lock is None:
            return
        if remove:
            shutil.rmtree(spool, ignore_errors=True)
        os.close(lock)

    def _hold(self, spool: str) -> bool:
        if spool in self._locks:
            return True
        try:
            lock = os.open(os.path.join(spool, "lock"), _CLOSING, 0o600)
        except OSError:  # removed meanwhile
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # its client is alive
            os.close(lock)
            return False
        self._locks[spool] = lock
        return True


def _clients(directory: str) -> list[str]:
    try:
        names = os.listdir(directory)
    except OSError:
        return []
    return sorted(name for name in names if os.path.isfile(os.path.join(directory, name, "client.json")))
