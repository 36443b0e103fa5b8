"""TCP ports of this host allotted to services, never one port to two deployments of a user: a file each."""

from __future__ import annotations

import contextlib
import os
import random
import socket

FIRST_PORT = 20_000
_EPHEMERAL_RANGE = "/proc/sys/net/ipv4/ip_local_port_range"
_SMALLEST_RANGE = 1_000


class NoFreePortError(OSError):
    """No port is free."""


def allot(directory: str, owner: str) -> int:
    """Return a port that nobody listens on, and that no other deployment has.

    Args:
        directory: Where the files of the ports lie.
        owner: The directory of the deployment: the port is its own as long as that is there.

    Raises:
        NoFreePortError: There is none.
    """
    os.makedirs(directory, exist_ok=True)
    ports = list(candidates())
    start = random.randrange(len(ports))
    for port in ports[start:] + ports[:start]:
        if _take(os.path.join(directory, str(port)), owner):
            if is_free(port):
                return port
            os.unlink(os.path.join(directory, str(port)))
    raise NoFreePortError(f"no TCP port between {ports[0]} and {ports[-1]} is free for a service")


def release(directory: str, owner: str) -> None:
    """Give the ports of a deployment back."""
    with contextlib.suppress(OSError):
        for name in os.listdir(directory):
            if _owner(os.path.join(directory, name)) == owner:
                os.unlink(os.path.join(directory, name))


def _take(path: str, owner: str) -> bool:
    held_by = _owner(path)
    if held_by is not None:
        if os.path.isdir(held_by):
            return False
        with contextlib.suppress(OSError):  # of a deployment that is gone
            os.unlink(path)
    try:
        os.symlink(owner, path)
    except FileExistsError:
        return False
    return True


def _owner(path: str) -> str | None:
    try:
        return os.readlink(path)
    except OSError:
        return None


def candidates() -> range:
    """The ports below those that the kernel takes for outgoing connections."""
    first_ephemeral = 32_768
    with contextlib.suppress(OSError, ValueError), open(_EPHEMERAL_RANGE, encoding="ascii") as file:
        first_ephemeral = int(file.read().split()[0])
    if first_ephemeral < FIRST_PORT + _SMALLEST_RANGE:
        return range(FIRST_PORT, 60_000)
    return range(FIRST_PORT, first_ephemeral)


def is_free(port: int) -> bool:
    """Whether nobody listens on a port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
