"""Namespaces that are made once and entered by many processes."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SHELL = "/bin/sh"
MAKE = 'mount -n -a -T "$1" && echo made && read -r _'
ENTER = 'cd "$1" && shift && exec "$@"'
KINDS = {"user": "--user", "net": "--net", "mnt": "--mount"}
"""The namespaces that may be entered, and the options of unshare and nsenter for them."""


@lru_cache(maxsize=1)
def _nsenter() -> str | None:
    return shutil.which("nsenter")


@lru_cache(maxsize=1)
def sets_directory() -> bool:
    """Whether nsenter sets the directory inside (util-linux 2.38), which saves a shell for each process."""
    program = _nsenter()
    if program is None:
        return False
    return b"--wdns" in subprocess.run([program, "--help"], capture_output=True, check=False).stdout


class Namespace:
    """A mount namespace, kept by open files of this process; making the mounts costs more than entering.

    Making it begins with the object, so that many can be made side by side. Entering is of no use after
    this process has ended, nor after `close`; what has entered goes on.

    Args:
        before: The command that makes a mount namespace, in a network or user namespace or not, and runs
            another one in it.
        fstab: The mounts.
    """

    def __init__(self, before: Sequence[str], fstab: Path) -> None:
        options = {argument.partition("=")[0] for argument in before}
        self._kinds = [kind for kind, option in KINDS.items() if option in options]
        self._descriptors: list[int] = []
        self._maker: subprocess.Popen[bytes] | None = None
        if _nsenter() is not None:
            self._maker = subprocess.Popen(
                [*before, SHELL, "-c", MAKE, "sh", str(fstab)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )

    def enter(self, chdir: str) -> list[str] | None:
        """What goes before a command to run it inside, in a directory; None if it could not be made."""
        self.wait()
        if not self._descriptors:
            return None
        kept = [
            f"{KINDS[kind]}=/proc/{os.getpid()}/fd/{descriptor}"
            for kind, descriptor in zip(self._kinds, self._descriptors, strict=True)
        ]
        entering = [str(_nsenter()), "--preserve-credentials", *kept]
        if sets_directory():
            return [*entering, f"--wdns={chdir}", "--"]
        return [*entering, "--", SHELL, "-c", ENTER, "sh", chdir]

    def wait(self) -> None:
        """Wait until it is made."""
        maker, self._maker = self._maker, None
        if maker is None:
            return
        with maker:  # closes its standard input, which ends it
            assert maker.stdout is not None  # noqa: S101  it is a pipe
            if maker.stdout.readline() == b"made\n":
                opened = [os.open(f"/proc/{maker.pid}/ns/{kind}", os.O_RDONLY) for kind in self._kinds]
                self._descriptors = opened

    def close(self) -> None:
        """Let it end with the last process in it."""
        self.wait()
        for descriptor in self._descriptors:
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._descriptors = []
