"""A probe: how long the gateway on this machine takes to answer, in milliseconds, a line each time."""

from __future__ import annotations

import argparse
import socket
import time

CONNECT_TIMEOUT_S = 60.0


def ping(host: str, port: int) -> float:
    """Return how long a connection, a question and its answer take, in milliseconds."""
    started = time.perf_counter()
    with socket.create_connection((host, port), timeout=CONNECT_TIMEOUT_S) as connection:
        connection.sendall(b"ping\n")
        if connection.recv(16) != b"pong\n":
            raise ConnectionError("the gateway does not answer")
    return 1e3 * (time.perf_counter() - started)


def wait_for(host: str, port: int) -> None:
    """Wait until the gateway listens.

    Raises:
        OSError: it does not within a minute.
    """
    deadline = time.monotonic() + CONNECT_TIMEOUT_S
    while True:
        try:
            ping(host, port)
        except OSError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.05)
        else:
            return


def main() -> None:
    """Ask a number of times, and print how long each took."""
    parser = argparse.ArgumentParser(description="Measure how long a gateway takes to answer.")
    parser.add_argument("--gateway", required=True, metavar="HOST:PORT")
    parser.add_argument("--pings", type=int, required=True)
    options = parser.parse_args()
    host, _, port = options.gateway.rpartition(":")
    wait_for(host.strip("[]"), int(port))
    for _ in range(options.pings):
        print(f"{ping(host.strip('[]'), int(port)):.3f}")


if __name__ == "__main__":
    main()
