"""End what deployments left behind whose owners died."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from optiprov.deploy.journal import JOURNAL_NAME, Journal, Journalled, boot_id, read_journal
from optiprov.deploy.watchdog import end_processes, not_recycled, start_time
from optiprov.errors import OptiprovError

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)


def reap_abandoned(root: Path) -> list[str]:
    """End the processes of every deployment journalled below a directory whose owner is dead.

    A deployment whose owner lives, that is detached, or that was finalized, is left alone. The hosts'
    directories stay: they hold logs and unsent provenance. Safe to call while deployments run, and twice.

    Args:
        root: A directory in which deployments keep theirs: `root` itself, `root/<name>`, or
            `root/<study>/trials/<trial>`. No others are entered, for what applications wrote and
            what was fetched from them lies there.

    Returns:
        The ids of the deployments that were abandoned, each told once.
    """
    reaped = []
    for path in _journals(Path(root)):
        deployment = read_journal(path)
        if deployment is None or not _is_abandoned(deployment):
            continue
        if deployment.boot_id == boot_id():
            end_processes((deployment.marker,), not_recycled(deployment.sessions))
            if deployment.has_network:
                from optiprov.deploy.network.host_network import end_network

                end_network(deployment.id)
        if deployment.machines and not _remove_machines(deployment, path.parent):
            continue  # it is tried again when the next deployment starts
        if deployment.reservations and not _release(path):
            continue
        with contextlib.suppress(OSError):  # removed meanwhile, or not ours to write
            Journal(path).write("reaped")
        reaped.append(deployment.id)
    return reaped


def _remove_machines(deployment: Journalled, directory: Path) -> bool:
    from optiprov.deploy.providers.ssh.removal import remove_remaining  # few deployments have any

    return remove_remaining(deployment, directory)


def _release(path: Path) -> bool:
    from optiprov.deploy.providers.releasing import release_reservations  # few deployments have any

    try:
        release_reservations(Journal(path))
    except OptiprovError as error:
        logger.warning("%s: %s", path.parent, error)
        return False
    return True


def _journals(root: Path) -> Iterator[Path]:
    studies = _directories(root)
    trials = (trial for study in studies for trial in _directories(study / "trials"))
    return (directory / JOURNAL_NAME for directory in (root, *studies, *trials))


def _directories(path: Path) -> list[Path]:
    try:
        return sorted(below for below in path.iterdir() if below.is_dir())
    except OSError:
        return []


def _is_abandoned(deployment: Journalled) -> bool:
    if deployment.is_closed or deployment.is_detached:
        return False
    is_other_boot = deployment.boot_id != boot_id()
    return is_other_boot or start_time(deployment.owner_pid) != deployment.owner_start
