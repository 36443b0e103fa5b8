"""Has hosts in namespaces reach what listens on this machine, at the address and port that it has here.

`python -m optiprov.deploy.network.relay PARENT FILE DESCRIPTOR...` listens in each namespace at each of the
endpoints of the file, `{"endpoints": [[address, port], ...]}`, and connects each connection to the same
endpoint outside. One that cannot be made is closed: clients try again, as they do where a service was
restarted. An address that is not of the loopback becomes one of the namespace's own loopback first.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import socket
import sys
from functools import partial
from pathlib import Path

from optiprov.deploy.network.kernel import end_with_parent, enter_network_namespace, in_a_thread
from optiprov.deploy.network.namespaces import run_ip

LOOPBACK = ("127.0.0.1", "::1")
_BACKLOG = 128
_BLOCK_BYTES = 1 << 16

Endpoint = tuple[str, int]


def main(arguments: list[str]) -> None:
    """Relay until this process is killed: `parent file descriptor...`."""
    parent, file, *descriptors = arguments
    end_with_parent(int(parent))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    endpoints = [(str(host), int(port)) for host, port in json.loads(Path(file).read_text())["endpoints"]]
    listeners = in_a_thread(lambda: _listen([int(one) for one in descriptors], endpoints))
    print("ready", flush=True)
    asyncio.run(_serve(listeners))


def _listen(descriptors: list[int], endpoints: list[Endpoint]) -> list[tuple[socket.socket, Endpoint]]:
    """Listen in each namespace; in a thread that is no good for anything else then."""
    listeners = []
    elsewhere = {host for host, _ in endpoints if host not in LOOPBACK}
    for number, descriptor in enumerate(descriptors, 1):
        enter_network_namespace(descriptor)
        if elsewhere:
            run_ip([f"address replace {host} dev lo" for host in sorted(elsewhere)])
        for endpoint in endpoints:
            family = socket.AF_INET6 if ":" in endpoint[0] else socket.AF_INET
            listener = socket.socket(family, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(endpoint)
                listener.listen(_BACKLOG)
            except OSError as error:  # a process of the host has the port: the other hosts can do without it
                print(f"host {number} does not reach {endpoint}: {error}", file=sys.stderr, flush=True)
                listener.close()
                continue
            listeners.append((listener, endpoint))
    return listeners


async def _serve(listeners: list[tuple[socket.socket, Endpoint]]) -> None:
    servers = [
        await asyncio.start_server(partial(_relay, endpoint), sock=listener)
        for listener, endpoint in listeners
    ]
    await asyncio.Event().wait()
    del servers


async def _relay(endpoint: Endpoint, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Connect one connection to the endpoint outside, until both directions have ended."""
    outer = await _connect(endpoint)
    if outer is None:
        writer.transport.abort()
        return
    outer_reader, outer_writer = outer
    try:
        await asyncio.gather(_pass(reader, outer_writer), _pass(outer_reader, writer))
    finally:
        for each in (writer, outer_writer):
            each.close()  # when what it has is sent


async def _connect(endpoint: Endpoint) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
    """Connect to the endpoint; None if nobody listens there at present.

    Who asks for localhost takes the first of its addresses that is listened at: here both are.
    """
    host, port = endpoint
    others = [other for other in LOOPBACK if host in LOOPBACK and other != host]
    for candidate in (host, *others):
        with contextlib.suppress(OSError):
            return await asyncio.open_connection(candidate, port)
    return None


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass one direction on, its end too."""
    try:
        while block := await reader.read(_BLOCK_BYTES):
            writer.write(block)
            await writer.drain()
        writer.write_eof()
        await writer.drain()
    except OSError:  # reset by one side: the other is told
        writer.transport.abort()


if __name__ == "__main__":
    main(sys.argv[1:])
