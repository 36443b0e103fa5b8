"""The provenance service of a study: one that runs already, or one of the study's own."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from optiprov.deploy.service_process import end_service, start_service
from optiprov.errors import ServiceUnavailable, UrlError, WorkError
from optiprov.store.closing import SERVED_STUDY
from optiprov.store.connection import owner_of
from optiprov.store.remote import RemoteProvenance
from optiprov.store.url import StoreUrl

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

_log = logging.getLogger(__name__)

_STOP_TIMEOUT_S = 10.0
_WATCH_S = 0.2


class ServiceProcess:
    """A provenance service in a process of its own, started again on the same ports should it die.

    Args:
        store: the DuckDB file or MonetDB database that it owns.
        log: where its warnings go.
        environment: variables for it beside those of this process.
        lanes: how many ingest lanes it has.

    Raises:
        WorkError: it does not start; the message has its last words.
    """

    def __init__(self, store: StoreUrl, log: Path, environment: dict[str, str], lanes: int = 1) -> None:
        self._store = store
        self._lanes = lanes
        self._log = log
        self._environment = environment
        self._stopping = threading.Event()
        self._process, self.addresses = self._start(mqtt_port=0, http_port=0)
        self.restarts = 0
        self._watch = threading.Thread(target=self._keep_running, name="optiprov-service-watch", daemon=True)
        self._watch.start()

    @property
    def pid(self) -> int:
        """The service's process, the leader of a session of its own."""
        return self._process.pid

    def stop(self) -> None:
        """Have the service store what has arrived, and stop it."""
        self._stopping.set()
        self._watch.join()
        end_service(self._process, _STOP_TIMEOUT_S)

    def _start(self, mqtt_port: int, http_port: int) -> tuple[subprocess.Popen[str], dict[str, Any]]:
        return start_service(
            self._store,
            self._log,
            self._environment,
            lanes=self._lanes,
            mqtt_port=mqtt_port,
            http_port=http_port,
        )

    def _keep_running(self) -> None:
        mqtt_port, http_port = (_port(self.addresses[side]) for side in ("mqtt", "http"))
        while not self._stopping.wait(_WATCH_S):
            if self._process.poll() is None:
                continue
            try:
                self._process, self.addresses = self._start(mqtt_port, http_port)
                self.restarts += 1
            except WorkError as error:
                _log.warning("the provenance service has died and does not start again: %s", error)
                time.sleep(1.0)  # its ports may be in use for a moment after a kill


def _port(url: str) -> int:
    return int(url.rpartition(":")[2])


class StudyService:
    """The service that a study sends to and asks: `with StudyService(...) as service`.

    Args:
        store: a service's http URL, the URL or path of a DuckDB file, the URL of a MonetDB database, or
            None for a file in `directory`.
        directory: the study's directory.
        environment: variables for a service of the study's own.
        lanes: how many ingest lanes a service of the study's own has.

    Attributes:
        http: the service's HTTP address.
        mqtt: the broker's address.
        store: the URL of the store behind it.
    """

    def __init__(
        self,
        store: str | None,
        directory: Path,
        environment: dict[str, str] | None = None,
        *,
        lanes: int = 1,
    ) -> None:
        self._wanted = store
        self._lanes = lanes
        self._directory = directory
        self._environment = environment or {}
        self.process: ServiceProcess | None = None
        self.http = self.mqtt = self.store = ""

    def __enter__(self) -> Self:
        addresses = self._running() or self._own()
        self.http, self.mqtt, self.store = addresses["http"], addresses["mqtt"], addresses["store"]
        if self._wanted is not None and StoreUrl.parse(self._wanted).kind == "monetdb":
            self.store = self._wanted  # the service leaves the password out
        return self

    def _running(self) -> dict[str, Any] | None:
        """Return the addresses of the service that is named, or that owns the file that is named."""
        if self._wanted is None:
            return None
        url = StoreUrl.parse(self._wanted)
        if url.kind == "http":
            addresses = RemoteProvenance(url.location).health()
            if "mqtt" not in addresses:
                raise UrlError(f"{url.location} is no provenance service: its /health names no broker.")
            return {**addresses, "http": url.location, "store": url.location}
        owner = owner_of(url)
        try:
            return owner.health() if owner else None
        except ServiceUnavailable:
            return None

    def _own(self) -> dict[str, Any]:
        store = StoreUrl.parse(self._wanted or f"duckdb://{self._directory / 'provenance.duckdb'}")
        if store.kind == "duckdb":
            store = StoreUrl("duckdb", str(store.path))
            store.path.parent.mkdir(parents=True, exist_ok=True)
        environment = {**self._environment, SERVED_STUDY: self._directory.name}
        self.process = ServiceProcess(store, self._directory / "service.log", environment, self._lanes)
        return self.process.addresses

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is not None:
            self.process.stop()
