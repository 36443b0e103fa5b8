"""What is emulated now between the hosts of a deployment, in a plain file of its directory."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from optiprov.deploy.journal import JOURNAL_NAME, read_journal
from optiprov.deploy.network.base import Link
from optiprov.deploy.watchdog import find_processes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from optiprov.deploy.network.rules import RuledLink

STATE_NAME = "network.json"


@dataclass
class NetworkState:
    """What lies between the hosts of a deployment.

    Attributes:
        links: The links that are emulated, each with the lines of its rules and by what it is.
        not_emulated: Those that the rules ask for and that are not, each with the reason.
        is_removed: Whether they were taken off on purpose, to stay off until they are asked for again.
        is_changing: Whether a process was about to change them: what is emulated is not known.
        is_ended: Whether the hosts were destroyed, and with them what was emulated until then.
    """

    links: list[dict[str, Any]] = field(default_factory=list)
    not_emulated: list[dict[str, Any]] = field(default_factory=list)
    is_removed: bool = False
    is_changing: bool = False
    is_ended: bool = False

    @classmethod
    def read(cls, directory: Path) -> NetworkState:
        """Read it; where there is none, or none that can be read, nothing is known to be emulated."""
        try:
            return cls(**json.loads((directory / STATE_NAME).read_text(encoding="utf-8")))
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError, TypeError):
            return cls(is_changing=True)

    def write(self, directory: Path) -> None:
        """Write it; whoever reads it sees this one or the one before, whole."""
        path = directory / STATE_NAME
        unfinished = path.with_name(f".{path.name}.part")
        parts = [f"{json.dumps(name)}: {_as_text(value)}" for name, value in vars(self).items()]
        unfinished.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")
        unfinished.replace(path)


def _as_text(value: Any) -> str:
    """A value as the file has it: of a list each element in a line."""
    if not isinstance(value, list) or not value:
        return json.dumps(value)
    return "[\n" + ",\n".join(f"  {json.dumps(element)}" for element in value) + "\n]"


def as_row(ruled: RuledLink, **more: Any) -> dict[str, Any]:
    """A link as the file has it."""
    return {**vars(ruled.link), "rules": list(ruled.rules), **more}


def as_links(rows: Sequence[Mapping[str, Any]]) -> list[Link]:
    """The links of rows of the file."""
    names = ("source", "destination", "delay_s", "rate_bit_s", "loss_share")
    return [Link(**{name: row[name] for name in names}) for row in rows]


def is_gone(directory: Path) -> bool:
    """Whether what kept the network of local hosts has ended, and with it all that was emulated in it."""
    from optiprov.deploy.network.host_network import NETWORK_VARIABLE

    journalled = read_journal(directory / JOURNAL_NAME)
    if journalled is None or not journalled.has_network:
        return False
    return not find_processes((f"{NETWORK_VARIABLE}={journalled.id}",), set())
