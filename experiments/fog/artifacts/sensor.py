"""A sensor: measure a temperature, and send each reading to the gateway as a line.

It is a day's course with some noise, so that the program needs no instrument; a seed repeats it.
"""

from __future__ import annotations

import argparse
import math
import random
import socket
import time

CONNECT_TIMEOUT_S = 60.0


def temperatures(count: int, seed: int) -> list[float]:
    """Return the readings of one day, in degrees Celsius."""
    noise = random.Random(seed)
    return [
        round(15 - 5 * math.cos(2 * math.pi * number / count) + noise.gauss(0, 0.3), 2)
        for number in range(count)
    ]


def connect(address: str) -> socket.socket:
    """Connect to the gateway, trying again until it listens.

    Raises:
        ConnectionError: it does not listen within a minute.
    """
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + CONNECT_TIMEOUT_S
    while True:
        try:
            return socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_TIMEOUT_S)
        except OSError as error:
            if time.monotonic() >= deadline:
                raise ConnectionError(f"no gateway at {address}: {error}") from error
            time.sleep(0.05)


def main() -> None:
    """Send all readings, and wait until the gateway has passed them on."""
    parser = argparse.ArgumentParser(description="Measure, and send each reading to a gateway.")
    parser.add_argument("--gateway", required=True, metavar="HOST:PORT")
    parser.add_argument("--name", required=True)
    parser.add_argument("--readings", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args()
    with connect(options.gateway) as connection, connection.makefile("rw", encoding="utf-8") as link:
        print(f"sensor {options.name}", file=link)
        for value in temperatures(options.readings, options.seed):
            print(value, file=link)
        print("end", file=link, flush=True)
        if link.readline() != "taken\n":
            raise SystemExit("sensor.py: the gateway ended before it had all readings")


if __name__ == "__main__":
    main()
