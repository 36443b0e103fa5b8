"""Frames as the kernel gives and takes them by packet sockets: with a header that tells what is left to do.

Hosts in namespaces leave checksums, and the cutting of large TCP segments, to hardware that is not there.
The header (linux/virtio_net.h) says so of each frame, and is given back with it, so that the receiving kernel
knows.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct

Frame = bytes
"""The header, then an Ethernet frame."""

_SOL_PACKET, _PACKET_VNET_HDR, _PACKET_QDISC_BYPASS = 263, 15, 20
_SO_RCVBUFFORCE = 33
_ETH_P_ALL = 3
_RECEIVE_BYTES = 8 << 20
"""Enough for what comes while this process waits for a processor; more would be one more delay."""
_HEADER = struct.Struct("=BBHHHH")  # flags, kind, header length, segment length, checksum start and offset
_AT = _HEADER.size
_SOURCE = slice(_AT + 6, _AT + 12)
_TYPE = slice(_AT + 12, _AT + 14)
_DESTINATION4, _DESTINATION6 = slice(_AT + 30, _AT + 34), slice(_AT + 38, _AT + 54)
_REST = slice(_AT + 6, None)
_IPV4, _IPV6 = b"\x08\x00", b"\x86\xdd"
_TCP_LENGTH_AT = 12


def open_packet_socket(interface: str, *, receives: bool = False) -> socket.socket:
    """A socket for frames of an interface, which does not block.

    Args:
        interface: Its name, in the namespace of this thread.
        receives: Whether it gets what comes in; else it only sends.
    """
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    opened.setblocking(False)  # noqa: FBT003  it has no name
    opened.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
    if receives:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
        with contextlib.suppress(OSError):  # older kernels let only the machine's root have that much
            opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BYTES)
    else:
        with contextlib.suppress(OSError):
            opened.setsockopt(_SOL_PACKET, _PACKET_QDISC_BYPASS, 1)
    opened.bind((interface, _ETH_P_ALL if receives else 0))
    return opened


def send(port: socket.socket, mac: bytes, frame: Frame) -> None:
    """Send a frame to another Ethernet address; what the kernel has no place for is lost, as on any wire."""
    with contextlib.suppress(OSError):
        port.sendmsg([frame[:_AT], mac, memoryview(frame)[_REST]])


def mac_bytes(mac: str) -> bytes:
    """An Ethernet address as frames have it."""
    return bytes.fromhex(mac.replace(":", ""))


def key_of(source_mac: str, address: str) -> bytes:
    """By what frames of one host to an address of another are known."""
    return mac_bytes(source_mac) + ipaddress.ip_address(address).packed


def key_of_frame(frame: Frame) -> bytes:
    """By what a frame is known; that of one that is no IP packet is known to nobody."""
    kind = frame[_TYPE]
    if kind == _IPV4:
        return frame[_SOURCE] + frame[_DESTINATION4]
    return frame[_SOURCE] + frame[_DESTINATION6] if kind == _IPV6 else b""


def size_on_wire(frame: Frame) -> tuple[int, int]:
    """How many packets a frame is on a wire, and how many bytes those have, with their headers."""
    _, kind, _, segment_bytes, checksum_start, _ = _HEADER.unpack_from(frame)
    size = len(frame) - _AT
    if not kind or not segment_bytes:
        return 1, size
    header_bytes = checksum_start + (frame[_AT + checksum_start + _TCP_LENGTH_AT] >> 4) * 4
    packets = max(1, -(-(size - header_bytes) // segment_bytes))
    return packets, size + (packets - 1) * header_bytes
