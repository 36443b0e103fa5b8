"""Brings the provenance spools of a host here, where the barrier passes and what is unsent is sent.

The spool of a client that has ended is taken away: from then on it is here alone. That of a client which is
alive is copied, for the number of its last record; its copy is held locked, so that nobody sends from it.
What is sent twice all the same (a crash came in between) the service drops by its numbers.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from optiprov.deploy.providers.ssh.connection import Connection
    from optiprov.deploy.providers.ssh.transfers import Transfers


class SpoolMirror:
    """The spools of one host, here. Used by one thread at a time.

    Args:
        connection: The connection to its machine.
        transfers: What copies from there.
        there: The spool directory on the host.
        here: The one on this machine.
    """

    def __init__(self, connection: Connection, transfers: Transfers, there: str, here: Path) -> None:
        self._connection = connection
        self._transfers = transfers
        self._there = there
        self._here = here
        self._copies: dict[str, int] = {}

    def bring(self) -> None:
        """Bring what there is now.

        Raises:
            HostUnavailable: The machine cannot be reached.
            OSError: Something cannot be read there, or not be written here.
        """
        has_ended: dict[str, bool] = self._connection.call("hold_spools", self._there)[0]
        for name in set(self._copies) - set(has_ended):  # all of it is stored: the client has removed it
            self._remove_copy(name)
        for name, is_ended in has_ended.items():
            is_taken = False
            try:
                self._bring_one(name, is_ended=is_ended)
                is_taken = is_ended
            except FileNotFoundError:  # its client has removed it meanwhile, or a part of it
                if is_ended:
                    raise
            finally:
                self._connection.call("let_spool_go", f"{self._there}/{name}", is_taken)

    def release(self) -> None:
        """Let go of the copies: what they hold is sent as if their clients had ended."""
        for lock in self._copies.values():
            os.close(lock)
        self._copies.clear()

    def _bring_one(self, name: str, *, is_ended: bool) -> None:
        arriving = self._here.with_name("arriving") / name
        shutil.rmtree(arriving, ignore_errors=True)
        try:
            self._transfers.fetch(f"{self._there}/{name}", arriving)
            lock = None if is_ended else _lock(arriving / "lock")
            self._remove_copy(name)
            self._here.mkdir(parents=True, exist_ok=True)
            arriving.rename(self._here / name)
            if lock is not None:
                self._copies[name] = lock
        finally:
            shutil.rmtree(arriving.parent, ignore_errors=True)

    def _remove_copy(self, name: str) -> None:
        shutil.rmtree(self._here / name, ignore_errors=True)
        if (lock := self._copies.pop(name, None)) is not None:
            with suppress(OSError):
                os.close(lock)


def _lock(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor
