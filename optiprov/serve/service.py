"""The provenance service: a broker, ingest into a store it owns, and HTTP, in one process."""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import uvicorn

import optiprov
from optiprov.errors import CredentialsError, WorkError
from optiprov.serve.access import BearerToken
from optiprov.serve.broker import EmbeddedBroker
from optiprov.serve.claim import claim_store
from optiprov.serve.commits import Commits
from optiprov.serve.credentials import BrokerUser, Certificate, check_certificate, check_exposure
from optiprov.serve.http import make_app
from optiprov.serve.ingest import Ingest
from optiprov.serve.owned_store import OwnedStore
from optiprov.store.closing import SERVED_STUDY
from optiprov.wire import BrokerAddress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.types import ASGIApp

    from optiprov.store import StoreUrl

_log = logging.getLogger(__name__)
_WATCH_S = 0.5
_COLLECT_AFTER_ALLOCATIONS = 100_000
_SWITCH_INTERVAL_S = 0.0005  # the committer gives the interpreter away at each statement, and waits for it
_SHUTDOWN_S = 3


class _Server(uvicorn.Server):
    """A server that ends on SIGINT and SIGTERM, and leaves it at that.

    Uvicorn's own raises the signal once more when it has ended, which kills the process before it has stored
    what has arrived. Before it waits for open requests it calls `hurry`, which has them answered.
    """

    def __init__(self, config: uvicorn.Config, hurry: Callable[[], None]) -> None:
        super().__init__(config)
        self._hurry = hurry

    def listen_to_signals(self) -> None:
        """End on SIGINT and SIGTERM from now on."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.handle_exit)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._hurry()
        await super().shutdown(sockets)


class Service:
    """A running provenance service.

    Args:
        store: a DuckDB file, made where it is absent, or a MonetDB database.
        broker: "embedded", or the address of one that runs.
        host: where HTTP and the embedded broker listen.
        mqtt_port: port of the embedded broker; 0 picks a free one.
        http_port: port of HTTP; 0 picks a free one.
        users: who may connect to the embedded broker; anybody where there are none.
        certificate: makes the embedded broker speak TLS.
        token: what HTTP asks for; nothing where it is None.
        http_certificate: makes HTTP speak TLS.
        lanes: how many connections to the broker receive and decode, 1 to 16.

    Raises:
        CredentialsError: the host is reached from other machines, and credentials are missing.
        NoStoreError: the file is something else than a store.
        StoreError: the store cannot be opened, for instance since another service owns it.
        WorkError: a port is taken, or the broker does not answer.
    """

    def __init__(
        self,
        store: StoreUrl,
        *,
        broker: str = "embedded",
        host: str = "127.0.0.1",
        mqtt_port: int,
        http_port: int,
        users: list[BrokerUser] | None = None,
        certificate: Certificate | None = None,
        token: str | None = None,
        http_certificate: Certificate | None = None,
        lanes: int = 1,
    ) -> None:
        is_embedded = broker == "embedded"
        if not is_embedded and (users or certificate):
            raise CredentialsError(
                "Users and certificates are for --broker embedded; another broker has its own."
            )
        check_exposure(host, has_users=bool(users) or not is_embedded, has_token=token is not None)
        for one in (certificate, http_certificate):
            if one is not None:
                check_certificate(one)
        self._token = token
        self._http_certificate = http_certificate
        self._started = time.monotonic()
        self._embedded: EmbeddedBroker | None = None
        self._stopped = threading.Event()
        self._commits = Commits()
        with _undone_on_failure() as made, ExitStack() as opened, _undone_on_failure() as new:
            claim = claim_store(store, made)
            self._store = OwnedStore(claim.open)
            opened.callback(self._store.close)
            claim.undo_on_failure(new)
            self._socket = _listen(host, http_port)
            opened.callback(self._socket.close)
            if is_embedded:
                self._embedded = EmbeddedBroker(host, mqtt_port, users=users, certificate=certificate)
                opened.callback(self._embedded.stop)
            address = self._embedded.address if self._embedded else BrokerAddress.parse(broker)
            context = self._embedded.tls_context if self._embedded else None
            self._ingest = Ingest(self._store, address, self._commits, lanes=lanes, tls_context=context)
            shown = f"[{host}]" if ":" in host else host
            self.addresses = {
                "http": f"{'https' if http_certificate else 'http'}://{shown}:{self._socket.getsockname()[1]}",
                "mqtt": address.url,
                "store": claim.url,
                "pid": os.getpid(),
            }
            claim.announce(self._announced())
            opened.callback(claim.withdraw)
            opened.callback(self._close_abandoned, os.environ.get(SERVED_STUDY), os.getppid())
            self._ingest.start()
            opened.callback(self._ingest.stop)
            self._opened = opened.pop_all()

    def run(self) -> None:
        """Serve until SIGINT or SIGTERM, then store what has arrived and stop.

        Raises:
            WorkError: the service ended by itself, since nothing more can be stored.
        """
        _collect_rarely()
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        app: ASGIApp = make_app(self._store, self._commits, self.health)
        if self._token is not None:
            app = BearerToken(app, self._token)
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=_SHUTDOWN_S,
            ws="none",
            ssl_certfile=self._http_certificate and self._http_certificate.chain,
            ssl_keyfile=self._http_certificate and self._http_certificate.key,
        )
        server = _Server(config, self._answer_open_requests)
        server.listen_to_signals()
        watch = threading.Thread(target=self._watch, args=(server,), name="optiprov-watch", daemon=True)
        watch.start()
        sys.stdout.write(json.dumps(self.addresses) + "\n")
        sys.stdout.flush()
        try:
            server.run(sockets=[self._socket])
        finally:
            self._stopped.set()
            self._opened.close()
        if self._ingest.has_failed:
            raise WorkError("The service has ended: nothing more can be stored. Its log says why.")

    def _announced(self) -> dict[str, Any]:
        """Return the addresses, with the certificate that those who see the store may trust."""
        if self._http_certificate is None:
            return self.addresses
        return {**self.addresses, "certificate": self._http_certificate.chain.read_text(encoding="utf-8")}

    def _close_abandoned(self, study: str | None, driver: int) -> None:
        """Say that the study which this service was started for has stopped, where its driver was killed."""
        if study is not None and os.getppid() != driver:
            self._store.close_study(study, "its driver died without a word")

    def _answer_open_requests(self) -> None:
        self._commits.close()
        self._store.interrupt()

    def health(self) -> dict[str, Any]:
        """Return how the service stands."""
        counts = self._ingest.counts
        return {
            "status": "ok" if self._ingest.is_connected else "no broker",
            "version": optiprov.__version__,
            **self.addresses,
            "uptime_s": round(time.monotonic() - self._started, 3),
            "clients": len(self._commits.marks),
            "commit_id": self._commits.commit_id,
            "records": counts.records,
            "rejected": counts.rejected,
            "lost": counts.lost,
            "dropped_messages": self._ingest.dropped_messages,
            "messages_by_lane": self._ingest.messages_by_lane,
        }

    def _watch(self, server: uvicorn.Server) -> None:
        while not self._stopped.wait(_WATCH_S):
            if self._ingest.has_failed:
                server.should_exit = True
            elif self._embedded is not None and not self._embedded.is_running():
                _log.warning(
                    "the broker's process has died; starting it again on %s", self._embedded.address.url
                )
                try:
                    self._embedded.restart()
                except (OSError, RuntimeError) as error:
                    _log.warning("the broker does not start: %s", error)


def _collect_rarely() -> None:
    """Have the garbage collector look less often: the lists of a batch are many, and none is in a circle."""
    gc.set_threshold(_COLLECT_AFTER_ALLOCATIONS, 20, 20)


@contextmanager
def _undone_on_failure() -> Iterator[ExitStack]:
    """Collect what takes away again what a start has made; it is done if the start fails."""
    with ExitStack() as undo:
        yield undo
        undo.pop_all()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Without the protocol, asyncio leaves Nagle's algorithm on, which adds 40 ms to each answer.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise WorkError(
            f"HTTP cannot listen on {host}:{port}: {error.strerror}. "
            "Give another --http-port; 0 picks a free one."
        ) from error
    listener.listen(128)
    return listener
