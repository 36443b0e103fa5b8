"""A TCP proxy between a client and a broker that does to connections what networks do."""

import asyncio
import contextlib
import threading

CHUNK_BYTES = 16 << 10


class Proxy:
    """Forwards connections to an address; from another thread it can be told to cut and delay them.

    Attributes:
        port: where it listens, on 127.0.0.1.
    """

    def __init__(self, host, port):
        self._target = (host, port)
        self._connections = set()
        self._delay_s = 0.0
        self._is_open = True
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="proxy", daemon=True)
        self._thread.start()
        ready.wait()

    def _run(self, ready):
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.05))
        self._loop.close()

    async def _serve(self, reader, writer):
        if not self._is_open:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        ends = (writer, far_writer)
        self._connections.add(ends)
        pumps = [self._pump(reader, far_writer), self._pump(far_reader, writer)]
        try:
            await asyncio.wait(map(asyncio.ensure_future, pumps), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._connections.discard(ends)
            for end in ends:
                end.transport.abort()

    async def _pump(self, reader, writer):
        with contextlib.suppress(OSError, asyncio.CancelledError):
            while data := await reader.read(CHUNK_BYTES):
                if self._delay_s:
                    await asyncio.sleep(self._delay_s)
                writer.write(data)
                await writer.drain()

    def cut(self):
        """Reset every connection; new ones are taken."""
        self._loop.call_soon_threadsafe(self._abort_all)

    def _abort_all(self):
        for ends in list(self._connections):
            for end in ends:
                end.transport.abort()

    def delay(self, seconds):
        """Hold back each chunk of at most 16 kB, in both directions, from now on."""
        self._delay_s = seconds

    def shut(self):
        """Cut, and take no new connections until `reopen`."""
        self._is_open = False
        self.cut()

    def reopen(self):
        """Take connections again."""
        self._is_open = True

    def close(self):
        """End it."""
        self._loop.call_soon_threadsafe(self._abort_all)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
