"""Connects its input and output, a socket, with a port that the host reaches; a script.

python connecting.py HOST PORT
"""

from __future__ import annotations

import socket
import sys
import threading

_BLOCK_BYTES = 1 << 16
_TIMEOUT_S = 10.0


def main(host: str, port: str) -> None:
    """Pass both directions on until both have ended."""
    with socket.socket(fileno=0) as near:
        try:
            far = socket.create_connection((host, int(port)), timeout=_TIMEOUT_S)
        except OSError as error:
            sys.exit(f"-L: {host}:{port} cannot be connected to: {error}")
        far.settimeout(None)
        there = threading.Thread(target=_pass, args=(near, far))
        there.start()
        _pass(far, near)
        there.join()


def _pass(source: socket.socket, target: socket.socket) -> None:
    try:
        while True:
            block = source.recv(_BLOCK_BYTES)
            if not block:
                break
            target.sendall(block)
        target.shutdown(socket.SHUT_WR)
    except OSError:  # reset by one side: the other is told
        for each in (source, target):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
