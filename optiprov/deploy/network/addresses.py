"""The addresses and names of the network of a deployment's hosts: the same in each deployment."""

from __future__ import annotations

INTERFACE = "eth0"
"""A host's interface, in its namespace."""

BRIDGE = "switch"
"""The bridge that all hosts are connected to, in the switch's namespace."""

MAX_HOSTS = 1023
"""A bridge of Linux has no more ports."""

_A_ROW = 250


def address4(number: int) -> str:
    """The IPv4 address of a host, by its number from 1.

    >>> address4(1), address4(250), address4(251)
    ('10.144.0.1', '10.144.0.250', '10.144.1.1')
    """
    row, place = divmod(number - 1, _A_ROW)
    return f"10.144.{row}.{place + 1}"


def address6(number: int) -> str:
    """The IPv6 address of a host, by its number from 1.

    >>> address6(1), address6(250)
    ('fd6f:7074:6970::1', 'fd6f:7074:6970::fa')
    """
    return f"fd6f:7074:6970::{number:x}"


PREFIX4, PREFIX6 = 16, 64


def mac(number: int) -> str:
    """The Ethernet address of a host's interface; 0 is the bridge.

    >>> mac(258)
    '02:6f:70:00:01:02'
    """
    return f"02:6f:70:00:{number >> 8:02x}:{number & 255:02x}"


def bridge_port(number: int) -> str:
    """The other end of a host's interface, in the switch's namespace.

    >>> bridge_port(3)
    'h3'
    """
    return f"h{number}"
