"""All of what provenance passes through, in processes that can be killed and started again."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from optiprov.capture import send_leftovers
from optiprov.store.remote import RemoteProvenance
from optiprov.wire import BrokerAddress
from tests.conftest import ROOT, RunningService
from tests.faults.oracle import EMIT, check_exactly_once, promised
from tests.faults.proxy import Proxy
from tests.serve.brokers import Mosquitto

SERVICE = str(Path(__file__).with_name("service.py"))
DELIVERY_S = 150
MOMENTS = {"before": signal.SIGUSR1, "after": signal.SIGUSR2}


def fault_seed():
    """Return the seed of a test's faults, which is printed: OPTIPROV_FAULT_SEED, or a new one."""
    seed = int(os.environ.get("OPTIPROV_FAULT_SEED") or random.SystemRandom().randrange(10**6))
    sys.stdout.write(f"OPTIPROV_FAULT_SEED={seed}\n")
    return seed


class System:
    """Emitters, a proxy, a broker, a service; each can be killed.

    Args:
        directory: where the spool, the store and the oracle are.
        kind: which broker.
        environment: of the emitters, without anything that optiprov reads.
        filler_bytes: how much each record is to hold.
        store: where the store is; by default in the directory.
        spool: where the emitters spool; by default in the directory.
        inside: what starts the service.
        monetdb: the server that is the store in place of a file; it is left to who made it.
        segment_bytes: how large the segments of the emitters' spools are.
        seed: of how the service's commits linger.
        sabotage: what is broken on purpose.
    """

    def __init__(
        self,
        directory,
        kind,
        environment,
        *,
        filler_bytes=25,
        store=None,
        spool=None,
        inside=(),
        monetdb=None,
        segment_bytes=1 << 20,
        seed=0,
        sabotage="",
    ):
        self.directory = directory
        self.monetdb = monetdb
        self._segment_bytes = segment_bytes
        self._sabotage = sabotage
        self._program = (SERVICE, str(seed), sabotage)
        self.spool, self.oracle = spool or directory / "spool", directory / "oracle"
        self._temporary = directory / "temporary"
        for made in (self.oracle, self._temporary):
            made.mkdir()
        self._filler_bytes = filler_bytes
        self.mosquitto = Mosquitto(directory) if kind == "mosquitto" else None
        options = ["--parallelism", "2"]
        self.service_proxy = None
        if self.mosquitto:
            self.service_proxy = Proxy("127.0.0.1", self.mosquitto.port)
            options += ["--broker", f"mqtt://127.0.0.1:{self.service_proxy.port}"]
        self._options = options
        self._log = directory / "service.log"
        store = store or (monetdb.url if monetdb else directory / "p.duckdb")
        self.service = RunningService(store, *options, wrapper=inside, log=self._log, program=self._program)
        self._ports = {"http_port": self.service.http_port}
        if self.mosquitto is None:
            self._ports["mqtt_port"] = self.service.mqtt_port
        self.proxy = Proxy("127.0.0.1", self.mosquitto.port if self.mosquitto else self.service.mqtt_port)
        self.address = BrokerAddress("127.0.0.1", self.proxy.port)
        self._environment = {
            **environment,
            "OPTIPROV_SPOOL": str(self.spool),
            "TMPDIR": str(self._temporary),  # where a process spools that finds no room in the spool
            "OPTIPROV_BROKER": self.address.url,
            "OPTIPROV_FLUSH_TIMEOUT_S": "0.2",
            "PYTHONPATH": str(ROOT),
        }
        self.emitters = []
        self._has_kinds = False

    def start_emitter(self, count, pause_s, *more, **environment):
        """Start a program that emits this many records."""
        command = [sys.executable, "-c", EMIT, self.oracle, count, pause_s, self._filler_bytes]
        command += [self._segment_bytes, self._sabotage, *more]
        self._has_kinds |= "kinds" in more
        with (self.directory / "emitters.log").open("ab") as log:
            process = subprocess.Popen(
                list(map(str, command)),
                env={**self._environment, **environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self.emitters.append(process)
        return process

    def promised(self):
        """Return how many records were promised so far."""
        return sum(promised(self.oracle).values())

    def doom_service(self, moment):
        """Have the service die by SIGKILL "before" or "after" its next commit."""
        self.service.process.send_signal(MOMENTS[moment])

    def kill_service(self, pause_s=0.0):
        """Kill -9 the service, and with it a broker of its own; start it again on its ports."""
        self.service.kill()
        time.sleep(pause_s)
        self.service = RunningService(
            self.service.store, *self._options, log=self._log, program=self._program, **self._ports
        )

    def kill_broker(self, pause_s=0.0):
        """Kill -9 the broker; it is started again, one of the service's own by the service."""
        if self.mosquitto:
            self.mosquitto.kill()
            time.sleep(pause_s)
            self.mosquitto.start()
        else:
            for child in psutil.Process(self.service.process.pid).children():
                child.kill()

    def kill_database(self, pause_s=0.0):
        """Kill -9 the MonetDB server, and start it again."""
        self.monetdb.kill()
        time.sleep(pause_s)
        self.monetdb.start()

    def heal(self):
        """End what the proxies do."""
        for proxy in filter(None, (self.proxy, self.service_proxy)):
            proxy.delay(0)
            proxy.reopen()

    def deliver(self):
        """Have all that is spooled stored: the emitters end, and what they leave is sent by others."""
        self.heal()
        for emitter in self.emitters:
            emitter.communicate(timeout=DELIVERY_S)
        deadline = time.monotonic() + DELIVERY_S
        for spool in (self.spool, *self._temporary.glob("optiprov-spool-*")):
            while left := send_leftovers(spool, self.address, timeout_s=10):
                assert time.monotonic() < deadline, f"not delivered: {left}; see {self.service.log}"
            # One killed while it made its spool, or while it removed it, leaves a directory without this:
            assert list(spool.glob("*/client.json")) == []

    def provenance(self):
        """Return what the service has stored."""
        return RemoteProvenance(self.service.http)

    def check_exactly_once(self):
        """See to it that each promised record is stored, once, and in order; return how many."""
        order = "" if self.monetdb else "ORDER BY rowid"
        return check_exactly_once(self.provenance(), self.oracle, order, has_kinds=self._has_kinds)

    def close(self):
        """End everything."""
        for emitter in self.emitters:
            emitter.kill()
            emitter.communicate(timeout=10)
        self.service.kill()
        if self.mosquitto:
            self.mosquitto.kill()
        for proxy in filter(None, (self.proxy, self.service_proxy)):
            proxy.close()
