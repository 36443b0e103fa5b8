"""Releases what a deployment has reserved on testbeds, from its journal alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from optiprov.deploy.journal import read_journal
from optiprov.deploy.providers import RESERVED, make_provider

if TYPE_CHECKING:
    from optiprov.deploy.journal import Journal
    from optiprov.deploy.providers.enoslib import EnoslibProvider


def release_reservations(journal: Journal) -> None:
    """Release the reservations that a journal tells of; none are left in it then.

    Raises:
        DeploymentError: One cannot be released.
        MissingExtraError: EnOSlib is not installed.
    """
    journalled = read_journal(journal.path)
    testbeds = {event["testbed"] for event in journalled.reservations} if journalled is not None else set()
    for testbed in sorted(testbeds.intersection(RESERVED)):
        cast("EnoslibProvider", make_provider(testbed)).release(journal)
