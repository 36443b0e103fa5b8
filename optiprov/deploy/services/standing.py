"""The services of one deployment: deployed unless they stand, and what is selected of its hosts."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from optiprov.deploy.services.deploying import deploy_services
from optiprov.deploy.services.registration import ServicesFile, as_registered

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from optiprov.deploy.providers.base import Host
    from optiprov.deploy.variables import Variables
    from optiprov.deploy.workbench import Workbench


class StandingServices:
    """The services of one deployment that have a class. Used by one thread at a time.

    Args:
        directory: The directory of the deployment.
    """

    def __init__(self, directory: Path) -> None:
        self._file = ServicesFile(directory)
        self._are_ours = False

    def selected(self, hosts: Sequence[Host]) -> list[Host]:
        """The hosts that patterns select: those that services have registered, and those of others."""
        return as_registered(hosts, self._file.read())

    def deploy(self, hosts: Sequence[Host], workbench: Workbench, variables: Variables) -> bool:
        """Deploy them unless they stand; whether they were deployed.

        Raises:
            DeploymentError: One failed; what was started is to be ended.
        """
        if self._file.stand():
            return False
        self._file.end_left()
        workbench.processes.open()
        self._file.write(deploy_services(hosts, workbench, variables))
        self._are_ours = True
        return True

    def note_end(self, *, of_ours: bool = False) -> None:
        """Say that what they left running was ended.

        Args:
            of_ours: Whether only that which this process has started was.
        """
        if self._are_ours or not of_ours:
            self._are_ours = False
            with suppress(OSError):  # the disk is full
                self._file.note_end()

    def note_left(self) -> None:
        """Say that they go on without this process."""
        if self._are_ours:
            self._file.note_left()
