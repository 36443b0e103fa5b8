"""The process that emulates links between hosts in namespaces, on kernels without netem.

`python -m optiprov.deploy.network.emulation PARENT FILE DESCRIPTOR...` works by the file
`{"links": [[source, destination, delay_s, rate_bit_s, loss_share], ...], "seed": ...}`, hosts by their
numbers, and reads it again when it gets a line on standard input. A host sends what goes over a link to the
bridge itself, by a neighbour entry: what has no link never comes here. Here the frames are read from the
bridge, and written to the ports of their destinations in due time. While this process does not run, frames of
links are lost, not passed by.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import sys
import threading
from pathlib import Path

from optiprov.deploy.network.addresses import BRIDGE
from optiprov.deploy.network.diversion import Diversion
from optiprov.deploy.network.kernel import end_with_parent, enter_network_namespace, time_precisely
from optiprov.deploy.network.links import Link, Links
from optiprov.deploy.network.packets import open_packet_socket

_FRAME_BYTES = 1 << 17
_AT_ONCE = 64
"""Frames that are read before it is looked at what is due."""


def main(arguments: list[str]) -> None:
    """Emulate until this process is killed: `parent file descriptor...`, that of the switch first."""
    parent, file, *given = arguments
    end_with_parent(int(parent))
    time_precisely()
    with contextlib.suppress(OSError):  # only root may go before others
        os.nice(-10)
    gc.disable()  # nothing here is in cycles
    switch, *hosts = (int(one) for one in given)
    enter_network_namespace(switch)
    _Emulation(Path(file), hosts).run()


class _Emulation:
    def __init__(self, file: Path, hosts: list[int]) -> None:
        self._file = file
        self._bridge = open_packet_socket(BRIDGE, receives=True)
        self._links = Links()
        self._diversion = Diversion(hosts)
        self._diverting: threading.Thread | None = None

    def run(self) -> None:
        """Pass frames on, for ever."""
        self._read()
        links, bridge = self._links, self._bridge
        wanted = [bridge, sys.stdin]
        while True:
            ready, _, _ = select.select(wanted, [], [], links.seconds_to_next())
            if bridge in ready:
                with contextlib.suppress(BlockingIOError):
                    for _ in range(_AT_ONCE):
                        links.take(bridge.recv(_FRAME_BYTES))
            links.send_due()
            if sys.stdin in ready:
                if not os.read(sys.stdin.fileno(), 4096):
                    return
                self._read()

    def _read(self) -> None:
        """Take the links of the file, and tell when hosts send by them; frames go on meanwhile."""
        if self._diverting is not None:
            self._diverting.join()
        content = json.loads(self._file.read_text(encoding="utf-8"))
        links = [Link(*values) for values in content["links"]]
        self._links.set(links, content.get("seed"))
        self._diverting = threading.Thread(target=self._divert, args=(links,))
        self._diverting.start()

    def _divert(self, links: list[Link]) -> None:
        try:
            self._diversion.set(links)
        except OSError as error:
            print(f"links cannot be emulated: {error}", file=sys.stderr, flush=True)
            os._exit(1)  # it is started again, and tries again
        print("ready", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
