"""What earlier commands left running in the background: the next one notices that it has ended since."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from optiprov.deploy.journal import boot_id, read_journal
from optiprov.deploy.watchdog import start_time

if TYPE_CHECKING:
    from optiprov.deploy.journal import Journal

logger = logging.getLogger(__name__)


def notice_ends(journal: Journal) -> None:
    """Warn of each background process that has ended since the command that started it; once of each.

    How it ended is not known: only the process that started it could ask for its exit status.
    """
    journalled = read_journal(journal.path)
    if journalled is None:
        return
    is_same_boot = journalled.boot_id == boot_id()
    for process, event in journalled.left.items():
        if is_same_boot and start_time(process) == event.get("start"):
            continue
        logger.warning(
            "task %r on host %s, which stage %s left in the background, has ended since. Its exit status is "
            "not known; what it said is in %s",
            *(event.get("task"), event.get("host"), event.get("stage"), event["left"]),
        )
        journal.write("noticed", pgid=process)


def forget_left(journal: Journal) -> None:
    """Note that what was left running was ended on purpose."""
    journalled = read_journal(journal.path)
    for process in journalled.left if journalled is not None else ():
        journal.write("noticed", pgid=process)
