"""How many files this process may have open, as each local host takes a few."""

from __future__ import annotations

import resource

from optiprov.errors import DeploymentError

FILES_A_HOST = 8
"""A port, a namespace, the pipes of its making, and the logs of tasks that begin."""

FILES_OF_OURS = 256


def allow_hosts(count: int) -> None:
    """Raise the limit as far as so many hosts need it.

    Raises:
        DeploymentError: The limit cannot be raised so far.
    """
    needed = FILES_OF_OURS + count * FILES_A_HOST
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise DeploymentError(
            f"{count} local hosts need {needed} open files, and this user may have {hard} (`ulimit -Hn`). "
            "Raise the limit, or deploy fewer hosts."
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
