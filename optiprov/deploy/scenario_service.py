"""The provenance service of a scenario: a process that outlives the command which started it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from optiprov.capture import Client, Settings, send_leftovers, spool_heads
from optiprov.deploy.dataflow_specification import send_specification
from optiprov.deploy.experiment_state import DATA_DIR
from optiprov.deploy.service_process import start_service
from optiprov.deploy.watchdog import SIGTERM, end_processes, find_processes, start_time
from optiprov.errors import BarrierTimeout, ServiceUnavailable, UrlError
from optiprov.records import Status, TrialClose, now_us
from optiprov.store.url import StoreUrl
from optiprov.wire import BrokerAddress

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from optiprov.deploy.journal import Journal
    from optiprov.deploy.models import ProvenanceService

STORE_NAME = "provenance.duckdb"
SETTLE_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
_RETRY_S = 0.2
_LOOPBACK = {4: "127.0.0.1", 6: "::1"}
_VARIABLE = "OPTIPROV_SERVICE_OF"


class ScenarioService:
    """The provenance service of one deployment. Its state is `provenance-data/service.json`.

    Args:
        deployment_id: The deployment's id, by which the runs of its processes are known.
        directory: The deployment's directory.
        asked: The key `provenance`.
        journal: Where the process is written before it is started.
        store: A store or a running service in place of a file in the directory.
        environment: Variables for the process beside those of this one.
    """

    def __init__(
        self,
        deployment_id: str,
        directory: Path,
        asked: ProvenanceService,
        journal: Journal,
        *,
        store: str | None = None,
        environment: Mapping[str, str] = {},
    ) -> None:
        self._id = deployment_id
        self._directory = directory / DATA_DIR
        self._asked = asked
        self._journal = journal
        self._store = StoreUrl.parse(store or f"duckdb://{self._directory / STORE_NAME}")
        self._is_given = store is not None
        self._environment = dict(environment)
        self._process: subprocess.Popen[str] | None = None
        self.addresses: dict[str, Any] = {}

    @property
    def store(self) -> str:
        """The URL of the store; it may have a password in it."""
        return self._store.location

    def ensure(self) -> None:
        """Have the service run: the one that does, or, after it has ended, one on the same ports again.

        Raises:
            WorkError: It does not start.
            ServiceUnavailable: The service that is named in place of one does not answer.
        """
        if self._store.kind == "http":
            self.addresses = _addresses_of(self._store.location)
            return
        known = self._known()
        if known and start_time(int(known["pid"])) == known.get("start"):
            self.addresses = known
            return
        self._end_all()
        if self._is_given and (owner := _owner_of(self._store)):
            self.addresses = owner
            return
        self._directory.mkdir(parents=True, exist_ok=True)
        self._journal.write("service", store=str(self._store))
        self._process, addresses = start_service(
            StoreUrl("duckdb", str(self._store.path)) if self._store.kind == "duckdb" else self._store,
            self._directory / "service.log",
            {**self._environment, _VARIABLE: self._id},
            lanes=self._asked.parallelism,
            host=_LOOPBACK[self._asked.ipv],
            mqtt_port=_port(known.get("mqtt")),
            http_port=_port(known.get("http")),
        )
        if self._process.stdout is not None:
            self._process.stdout.close()
        self.addresses = {**addresses, "start": start_time(self._process.pid)}
        unfinished = self._state.with_name(f".{self._state.name}.part")
        unfinished.write_text(json.dumps(self.addresses), encoding="utf-8")
        unfinished.replace(self._state)

    def look(self) -> None:
        """Take the addresses of the service as it was started last, whether it runs or not."""
        self.addresses = self._known()
        if not self.addresses and self._is_given:
            with suppress(ServiceUnavailable, UrlError):
                given = self._store
                found = _addresses_of(given.location) if given.kind == "http" else _owner_of(given)
                self.addresses = found or {}

    def client_environment(self) -> dict[str, str]:
        """The variables by which a capture client finds the service; none before it is known."""
        if not self.addresses:
            return {}
        broker = BrokerAddress.parse(self.addresses["mqtt"])
        host = f"[{broker.host}]" if ":" in broker.host else broker.host
        return {
            "OPTIPROV_BROKER": self.addresses["mqtt"],
            "OPTIPROV_TRIAL_ID": self._id,
            "PROVLIGHT_SERVER_URL": f"{host}:{broker.port}",
            "PROVLIGHT_SERVER_TOPIC": "1",
        }

    def description(self) -> dict[str, str]:
        """Where it is, as layers_services-validate.yaml has it."""
        if not self.addresses:
            return {}
        return {"page": self.addresses["http"], "broker": self.addresses["mqtt"], "store": str(self._store)}

    def load_specification(self, path: Path) -> None:
        """Have a specification of dataflows in the store: a YAML file, or a script on dfa_lib_python.

        Raises:
            SpecificationError: The YAML file cannot be used.
            WorkError: The script failed.
            BarrierTimeout: What it said is not stored.
        """
        spool = self._directory / "spool"
        send_specification(path, BrokerAddress.parse(self.addresses["mqtt"]), spool)
        self.settle([spool])

    def close_runs(self) -> None:
        """Say that the deployment's processes have ended, for runs that did not say so themselves."""
        spool = self._directory / "spool"
        broker = BrokerAddress.parse(self.addresses["mqtt"])
        client = Client(Settings(spool, broker, trial=self._id, flush_timeout_s=SETTLE_TIMEOUT_S))
        client.emit(TrialClose(self._id, now_us(), Status.STOPPED, "ended by the deployment"))
        client.close()
        self.settle([spool])

    def settle_unsent(self, spools: Sequence[Path]) -> None:
        """Pass the barrier where these spools hold anything; the service is started for it, if it must.

        Raises:
            As for `ensure` and `settle`.
        """
        if any(map(spool_heads, spools)):
            self.ensure()
            self.settle(spools)

    def settle(self, spools: Sequence[Path]) -> None:
        """Pass the barrier: all that clients of these spools have emitted until now is stored.

        Raises:
            BarrierTimeout: It is not, in the time allowed; the message says what is missing.
            ServiceUnavailable: The service does not answer.
        """
        from optiprov.store.remote import RemoteProvenance

        broker = BrokerAddress.parse(self.addresses["mqtt"])
        deadline = time.monotonic() + SETTLE_TIMEOUT_S
        while unsent := [client for spool in spools for client in send_leftovers(spool, broker)]:
            if time.monotonic() > deadline:
                raise BarrierTimeout(
                    f"provenance of {', '.join(unsent)} is not sent after {SETTLE_TIMEOUT_S:g} s. It stays "
                    f"in {', '.join(map(str, spools))}; `optiprov spool send` sends it."
                )
            time.sleep(_RETRY_S)
        heads = {client: head for spool in spools for client, head in spool_heads(spool).items()}
        if heads:
            service = RemoteProvenance(self.addresses["http"])
            service.wait_stored(heads, timeout_s=max(deadline - time.monotonic(), 1.0))
            service.close()

    def stop(self) -> None:
        """Have the service store what has arrived, and end it; the store is then free for others."""
        self._end_all()

    def _end_all(self) -> None:
        """End what serves this deployment, known or not.

        A command that was killed before it could write down what it had started leaves a service that
        owns the store, and that nobody knows of.
        """
        marker = (f"{_VARIABLE}={self._id}",)
        # The service alone first: its broker ends with it, when all that has arrived is stored.
        services = {pid: start_time(pid) for pid in find_processes(marker, set()) if _leads_session(pid)}
        for pid in services:
            with suppress(ProcessLookupError):
                os.kill(pid, SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while any(start_time(pid) == start for pid, start in services.items() if start is not None):
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
        end_processes(marker, set())
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(1)
            self._process = None

    @property
    def _state(self) -> Path:
        return self._directory / "service.json"

    def _known(self) -> dict[str, Any]:
        """The addresses, process and start time of the service that was started last; empty before."""
        try:
            known = json.loads(self._state.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) and isinstance(known.get("pid"), int) else {}


def _addresses_of(url: str) -> dict[str, Any]:
    from optiprov.store.remote import RemoteProvenance

    service = RemoteProvenance(url)
    try:
        addresses = service.health()
    except ServiceUnavailable as error:
        raise ServiceUnavailable(f"{error} Start it, or leave --store out.") from None
    finally:
        service.close()
    if "mqtt" not in addresses:
        raise UrlError(f"{url} is no provenance service: its /health names no broker.")
    return {**addresses, "http": url}


def _owner_of(store: StoreUrl) -> dict[str, Any] | None:
    """Return the addresses of the service that owns a store already; None where none answers."""
    from optiprov.store.connection import owner_of

    owner = owner_of(store)
    if owner is None:
        return None
    try:
        return owner.health()
    except ServiceUnavailable:  # it has just ended
        return None
    finally:
        owner.close()


def _leads_session(pid: int) -> bool:
    try:
        return os.getsid(pid) == pid
    except ProcessLookupError:
        return False


def _port(url: Any) -> int:
    return int(str(url).rpartition(":")[2].partition("/")[0]) if url else 0
