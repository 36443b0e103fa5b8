"""What ssh said when it failed, as a message: which host, what happened, what to do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optiprov.deploy.providers.ssh.machine import Machine

_LINES = 4
_NOISE = re.compile(
    r"^(@+|\s*|Warning: Permanently added .*|\*\* .*|debug\d:.*|Control socket connect.*|ControlSocket .*)$"
)

_BEHIND_OTHERS = re.compile(r"UNKNOWN port 65535")
"""What ssh says of the end of a ProxyCommand, whose own words it does not pass on with ControlPersist."""

_NO_PYTHON = re.compile(r"(python\S*: .*(not found|No such file))|(not found: \S*python)|needs Python 3\.8")

_REASONS: tuple[tuple[str, str, str], ...] = (
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|differs from the key",
        "its host key is another than the known one",
        (
            "If you know why, remove the old key (`ssh-keygen -R '{place}'{of_file}`) and add the new one. "
            "If not, somebody may be in between."
        ),
    ),
    (
        r"Host key verification failed|host key is known",
        "its host key is not known",
        "Compare it and add it: `ssh-keyscan {port}{address} >> {file}`, or connect once by hand with ssh.",
    ),
    (
        r"Permission denied|Too many authentication failures",
        "it refuses the user or the key",
        (
            "Give `user` and `key_file`, load the key into the agent (`ssh-add`), or have the public key in "
            "~/.ssh/authorized_keys there. Passwords are not asked for."
        ),
    ),
    (r"Connection refused", "nothing listens there", "Start its ssh server, or give the `port` it has."),
    (
        r"Could not resolve hostname",
        "its name is not known",
        "Correct the address, or give it a `HostName` in ~/.ssh/config.",
    ),
    (
        r"No route to host|Network is unreachable|timed out",
        "it does not answer",
        "See that it runs, and that this machine reaches it, or give a `jump_host`.",
    ),
    (
        r"No space left on device|Disk quota exceeded",
        "its disk is full",
        "Make room, or give another `directory`.",
    ),
    (
        r"Read-only file system|PermissionError|NotADirectoryError|FileNotFoundError",
        "its directory cannot be written",
        "Give a `directory` which the user can write.",
    ),
)


def describe_failure(machine: Machine, output: str) -> str:
    """Say why a machine cannot be had.

    Args:
        machine: The machine.
        output: What ssh, or what it ran there, wrote to its standard error.
    """
    told = [line for line in output.splitlines() if not _NOISE.match(line)][-_LINES:]
    reason, way_on = _explain(machine, output)
    lines = "".join(f"\n    {line.strip()}" for line in told)
    return f"{machine.shown}: {reason}. {way_on}{lines}"


def _explain(machine: Machine, output: str) -> tuple[str, str]:
    if _NO_PYTHON.search(output):
        return (
            f"it has no {machine.python}, or one before Python 3.8",
            "Hosts reached by SSH need Python 3.8 or later: install it, or name one with `python`.",
        )
    if machine.jump_host and _BEHIND_OTHERS.search(output):
        return (
            f"its jump host {machine.jump_host} cannot be reached, or does not reach it",
            "Try `ssh` by hand to the jump host with the same key, and from there: ssh hides what it says.",
        )
    is_default = machine.port in (None, 22)
    places = {
        "address": machine.address,
        "place": machine.address if is_default else f"[{machine.address}]:{machine.port}",
        "port": "" if is_default else f"-p {machine.port} ",
        "file": machine.known_hosts or "~/.ssh/known_hosts",
        "of_file": f" -f {machine.known_hosts}" if machine.known_hosts else "",
    }
    for pattern, reason, way_on in _REASONS:
        if re.search(pattern, output):
            return reason, way_on.format(**places)
    return "it cannot be reached", "Try `ssh` by hand with the same user, port and key."
