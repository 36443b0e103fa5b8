"""What an emulator of networks does: it has links behave as they are asked to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from optiprov.deploy.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Sequence


@frozen
class Link:
    """What packets from one host to another meet; the way back is a link of its own.

    Attributes:
        source: The id of the host from which they come.
        destination: The id of the host to which they go.
        delay_s: How long each takes, in seconds.
        rate_bit_s: How many bits pass in a second, None for no limit.
        loss_share: The share that is lost, from 0 to 1.
    """

    source: str
    destination: str
    delay_s: float = 0.0
    rate_bit_s: float | None = None
    loss_share: float = 0.0


class NetworkEmulator(ABC):
    """Emulates links between the hosts of one deployment; used by one thread at a time.

    Attributes:
        description: How it does so, in a few words for people, such as `tc netem` or `in user space`.
        taking_off: What the shell of a host does to take off what stays there when the processes of the
            deployment have ended, as on machines that go on without it; None where nothing stays.
    """

    description: str
    taking_off: str | None = None

    @abstractmethod
    def apply(self, links: Sequence[Link]) -> None:
        """Have exactly these links emulated; those of an earlier call that are not among them are gone.

        Raises:
            DeploymentError: They cannot be.
        """
