"""How a machine is reached by SSH, and the command lines that do so."""

from __future__ import annotations

import dataclasses
import shlex
from typing import TYPE_CHECKING, Any

from optiprov.deploy.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self

CONNECT_TIMEOUT_S = 10
ALIVE_INTERVAL_S = 5
ALIVE_COUNT = 3
"""A network that is cut is noticed after as many intervals without an answer."""

DIRECTORY = "~/.optiprov"

NAMES_NONE = (
    "no machine is named for the host {host}. Name machines in `environment: static: hosts`, or its own in "
    "the `servers` of its service."
)
"""What is said of a host of the testbed `static` for which there is no machine."""

_ALWAYS = (
    "BatchMode=yes",  # a question would wait for ever
    f"ConnectTimeout={CONNECT_TIMEOUT_S}",
    f"ServerAliveInterval={ALIVE_INTERVAL_S}",
    f"ServerAliveCountMax={ALIVE_COUNT}",
    "RemoteCommand=none",
    "RequestTTY=no",
    "ForwardX11=no",
)


@frozen
class Machine:
    """A machine that is reached by SSH. What is None is as the user's settings of ssh say.

    Attributes:
        address: Its name or address, as ssh takes it.
        user: The user there.
        port: The port of its ssh server.
        key_file: The private key; those of the agent are used too.
        jump_host: The machine through which it is reached, `[user@]address[:port]`; several with commas.
        known_hosts: The file of known host keys.
        options: Further settings of ssh, `Name=value`; they go before ours.
        python: The Python there, 3.8 or later.
        directory: Where deployments have their directories there.
        is_direct: Whether it reaches this machine by its addresses, without a forward.
    """

    address: str
    user: str | None = None
    port: int | None = None
    key_file: str | None = None
    jump_host: str | None = None
    known_hosts: str | None = None
    options: tuple[str, ...] = ()
    python: str = "python3"
    directory: str = DIRECTORY
    is_direct: bool = False

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """The machine that `as_record` described.

        Raises:
            ValueError: It is no such record.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(record, dict) or set(record) != names or not isinstance(record["address"], str):
            raise ValueError(f"got {record!r}, expected the record of a machine")
        return cls(**{**record, "options": tuple(record["options"])})

    def as_record(self) -> dict[str, Any]:
        """It as JSON can have it."""
        return {**vars(self), "options": list(self.options)}

    @property
    def shown(self) -> str:
        """It as messages have it."""
        user = f"{self.user}@" if self.user else ""
        port = f" port {self.port}" if self.port is not None else ""
        jump = f" through {self.jump_host}" if self.jump_host else ""
        return f"{user}{self.address}{port}{jump}"

    def ssh(self, *arguments: str) -> list[str]:
        """The command line of ssh to it.

        Args:
            arguments: Further options.
        """
        command = ["ssh", *self._options()]
        if self.jump_host:
            proxy = self._proxy([jump.strip() for jump in self.jump_host.split(",")])
            command += ["-o", f"ProxyCommand={proxy}"]
        if self.user:
            command += ["-l", self.user]
        if self.port is not None:
            command += ["-p", str(self.port)]
        return [*command, *arguments, "--", self.address]

    def _options(self) -> list[str]:
        """What goes for the machine, and for those through which it is reached."""
        given = [*self.options, *_ALWAYS]
        if self.known_hosts:
            given.append(f'UserKnownHostsFile="{_escaped(self.known_hosts)}"')
        if self.key_file:
            given.append(f'IdentityFile="{_escaped(self.key_file)}"')
        return [part for option in given for part in ("-o", option)]

    def _proxy(self, jumps: list[str]) -> str:
        """The command that leads through machines, as the setting ProxyCommand has it.

        Not ssh's own -J, which would take neither the key nor the known hosts.
        """
        *before, last = jumps
        command = ["ssh", *self._options()]
        if before:
            command += ["-o", f"ProxyCommand={self._proxy(before)}"]
        command = [_escaped(part) for part in command]
        return shlex.join([*command, "-W", "[%h]:%p", "--", f"ssh://{_escaped(last)}"])


def _escaped(text: str) -> str:
    """A text in which ssh replaces nothing."""
    return text.replace("%", "%%")
