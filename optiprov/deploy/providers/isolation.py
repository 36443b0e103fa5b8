"""A private /tmp and HOME for each local host, by mount namespaces where the kernel lets us."""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import threading
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from optiprov.deploy.frozen import frozen
from optiprov.deploy.providers.namespace import Namespace, sets_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

logger = logging.getLogger(__name__)

SHELL = "/bin/sh"
ENTER = 'mount -n -a -T "$1" && cd "$2" && shift 2 && exec "$@"'
ENTER_WITHOUT_MOUNTS = 'cd "$1" && shift && exec "$@"'
MAKE_MOUNTS = ("--mount", "--propagation", "private", "--")
PROBE_TIMEOUT_S = 10.0
_probing = threading.Lock()
NOT_PRIVATE = (
    "This machine gives no mount namespaces (neither root nor unprivileged user namespaces, or no "
    "unshare and mount): hosts get no /tmp of their own. Paths below /tmp and HOME are replaced in "
    "tasks, but not inside the programs that they run."
)


@frozen
class Mask:
    """A directory of this machine in whose place a host sees one of its own.

    Attributes:
        hidden: The directory of this machine, such as /tmp.
        private: The host's directory.
    """

    hidden: Path
    private: Path


def probe_ahead() -> None:
    """Probe in a thread what this machine allows, beside what comes before hosts are made."""
    threading.Thread(target=_probe, name="optiprov-probe", daemon=True).start()


def _probe() -> None:
    if namespace_commands() is not None:
        sets_directory()


def namespace_commands() -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """How to enter a mount namespace: the command before the mounts, and the one after them.

    Root makes one directly; anyone else through a user namespace, from whose root the second
    command goes back to the own user id. None where the kernel allows neither, or where util-linux
    (unshare, mount) is missing. Probed once a process.
    """
    with _probing:
        return _probed_commands()


@lru_cache(maxsize=1)
def _probed_commands() -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    unshare, mount = shutil.which("unshare"), shutil.which("mount")
    if unshare is None or mount is None:
        return None
    direct = (unshare, *MAKE_MOUNTS)
    by_user = (unshare, "--user", "--map-root-user", *MAKE_MOUNTS)
    back = (unshare, "--user", f"--map-user={os.getuid()}", f"--map-group={os.getgid()}", "--")
    for before, after in ((direct, ()), (by_user, back), (by_user, ())):
        probe = [*before, SHELL, "-c", f'{mount} -n --rbind /tmp /tmp && exec "$@"', SHELL, *after, "true"]
        if _succeeds(probe):
            return before, after
    return None


def isolation_note() -> str | None:
    """What users should know about hosts of the testbed `local` here: that /tmp and HOME are not private.

    None where they are. Deployments log it, but in the process that deploys: who starts that one shows it.
    """
    return None if namespace_commands() is not None else NOT_PRIVATE


def _succeeds(argv: Sequence[str]) -> bool:
    try:
        completed = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=PROBE_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return completed.returncode == 0


class Isolation:
    """What one host sees of this machine's directories.

    Args:
        masks: The directories that are private to the host.
        visible: Directories of this machine which the host sees though they lie below a mask.
        fstab: Where to write the mounts that make it so.
        network: Gives the command that enters the host's network namespace, or raises if that is gone; None
            for a host that shares this machine's network. Only where there are mount namespaces.
    """

    def __init__(
        self,
        masks: Sequence[Mask],
        visible: Sequence[Path],
        fstab: Path,
        network: Callable[[], Sequence[str]] | None = None,
    ) -> None:
        self._visible = _outermost(tuple(visible))
        # A mask is left out if one of the visible directories contains it: the home directory of a
        # scenario that is the home directory. /tmp never is, `LocalProvider` sees to it.
        self._masks = sorted(
            (mask for mask in masks if not any(mask.hidden.is_relative_to(path) for path in self._visible)),
            key=lambda mask: len(mask.hidden.parts),
            reverse=True,
        )
        self._fstab = fstab
        self._namespace: Namespace | None = None
        self._network = network
        self._commands = namespace_commands()
        if self._commands is None:
            _warn_once()
            return
        if network is not None:
            before, after = self._commands
            self._commands = (*network(), before[0], *MAKE_MOUNTS), after
        fstab.write_text("".join(self._mounts()))
        self._namespace = Namespace(self._commands[0], fstab)

    @property
    def is_private(self) -> bool:
        """Whether the host's processes are in a mount namespace, so that `/tmp` is their own."""
        return self._commands is not None

    def enter(self, argv: Sequence[str], chdir: str) -> list[str]:
        """The command that runs another one inside, in a directory; one chain of exec, no extra process."""
        if self._commands is None:
            translated = [self.translate(argument) for argument in argv]
            return [SHELL, "-c", ENTER_WITHOUT_MOUNTS, "sh", str(self.outside(chdir)), *translated]
        if self._network is not None:
            self._network()
        before, after = self._commands
        kept = self._namespace.enter(chdir) if self._namespace is not None else None
        if kept is not None:
            return [*kept, *after, *argv]
        return [*before, SHELL, "-c", ENTER, "sh", str(self._fstab), chdir, *after, *argv]

    def close(self) -> None:
        """Let go of the namespace; nothing enters it any more."""
        if self._namespace is not None:
            self._namespace.close()

    def outside(self, path: str) -> Path:
        """Where on this machine a path lies that the host sees as absolute."""
        seen = Path(os.path.normpath(path))
        if any(seen.is_relative_to(visible) for visible in self._visible):
            return seen
        for mask in self._masks:
            if seen.is_relative_to(mask.hidden):
                return mask.private / seen.relative_to(mask.hidden)
        return seen

    def translate(self, text: str) -> str:
        """A command line with the masked paths in it replaced, for machines without namespaces."""
        for mask in self._masks:
            pattern = rf"(?<![\w./-]){re.escape(str(mask.hidden))}(?![\w.-])(/[^\s'\"|;&<>()]*)?"
            text = re.sub(pattern, lambda match: str(self.outside(match[0])), text)
        return text

    def _mounts(self) -> list[str]:
        """The lines of an fstab: visible directories into the private ones, then those over the masks.

        The visible directory that holds the private ones comes first: a recursive bind of it copies
        what is mounted below it at that time. Inner masks go into outer ones (a HOME below /tmp). The
        mask behind which the private directories lie comes last: after it they are out of reach.
        """
        inner = []
        outer = []
        for visible in sorted(self._visible, key=lambda path: not self._holds_private(path)):
            mask = next((mask for mask in self._masks if visible.is_relative_to(mask.hidden)), None)
            if mask is not None:
                inner.append((visible, mask.private / visible.relative_to(mask.hidden)))
        for index, mask in enumerate(self._masks):
            around = next((m for m in self._masks[index + 1 :] if mask.hidden.is_relative_to(m.hidden)), None)
            place = around.private / mask.hidden.relative_to(around.hidden) if around else mask.hidden
            outer.append((mask.private, place))
        outer.sort(key=lambda mount: self._holds_private(mount[1]))
        for _, place in (*inner, *outer):
            place.mkdir(parents=True, exist_ok=True)
        return [
            f"{_escaped(source)} {_escaped(place)} none rbind 0 0\n" for source, place in (*inner, *outer)
        ]

    def _holds_private(self, path: Path) -> bool:
        return any(mask.private.is_relative_to(path) for mask in self._masks)


@lru_cache(maxsize=8)  # hundreds of hosts see the same
def _outermost(paths: tuple[Path, ...]) -> list[Path]:
    """The paths that lie below none of the others, without duplicates."""
    unique = sorted(set(paths))
    return [
        path for path in unique if not any(path != other and path.is_relative_to(other) for other in unique)
    ]


def _escaped(path: Path) -> str:
    """A path as a field of an fstab (fstab(5))."""
    return "".join(f"\\{ord(char):03o}" if char in " \t\n\\#" else char for char in str(path))


@lru_cache(maxsize=1)
def _warn_once() -> None:
    logger.warning(NOT_PRIVATE)
