"""Kill -9 of application, broker, service and MonetDB at random moments, and a network that cuts and delays.

The seed is printed; OPTIPROV_FAULT_SEED=<seed> repeats what was chosen (not the instants at which it struck).
"""

import random
import sys
import time

import pytest

from tests.faults.system import System, fault_seed
from tests.monetdb.databases import require_engine
from tests.monetdb.server import MonetDBServer

EMITTERS = 4
SYSTEMS = pytest.mark.parametrize(
    "system",
    [("embedded", "duckdb"), ("mosquitto", "duckdb"), ("embedded", "monetdb"), ("mosquitto", "monetdb")],
    ids="-".join,
    indirect=True,
)


@pytest.fixture
def monetdb(tmp_path):
    """A MonetDB server that a test may kill."""
    require_engine()
    server = MonetDBServer(tmp_path / "provenance")
    yield server
    server.kill()


@pytest.fixture
def system(request, tmp_path, clean_environment):
    """All of it, behind the broker and before the engine that the test's parameter names."""
    broker, engine = request.param
    server = request.getfixturevalue("monetdb") if engine == "monetdb" else None
    system = System(tmp_path, broker, clean_environment, monetdb=server)
    yield system
    system.close()


def disturb(system, choices):
    """Do something to the network or to the connections, and return what."""
    proxy = choices.choice([one for one in (system.proxy, system.service_proxy) if one])
    what = choices.choice(["cut", "delay", "shut", "heal"])
    if what == "delay":
        proxy.delay(choices.uniform(0.001, 0.05))
    elif what == "heal":
        system.heal()
    else:
        getattr(proxy, what)()
    return what


def keep_emitting(system, records, pause_s):
    """Start emitters in place of those that were killed, for what is still to be emitted."""
    running = [one for one in system.emitters if one.poll() is None]
    missing = records - system.promised()
    for _ in range(EMITTERS - len(running)):
        if missing > 0:
            system.start_emitter(max(1, missing // EMITTERS), pause_s)


def run_faults(system, seed, *, records, kills, pause_s, interval_s):
    """Emit while processes are killed; return how often each was."""
    choices = random.Random(seed)
    done = dict.fromkeys(("application", "broker", "service"), 0)
    if system.monetdb:
        done["database"] = 0
    victims = (list(done) * kills)[:kills]  # each in its turn, in any order
    choices.shuffle(victims)
    keep_emitting(system, records, pause_s)
    for victim in victims:
        time.sleep(choices.uniform(0, interval_s))
        disturb(system, choices)
        if victim == "application":
            running = [one for one in system.emitters if one.poll() is None]
            if not running and system.promised() >= records:
                victim = choices.choice([one for one in done if one != "application"])
            else:
                for one in running[: choices.randint(1, 2)]:
                    one.kill()
                    one.wait(10)
        if victim == "broker":
            system.kill_broker(choices.uniform(0, 0.5))
        elif victim == "service":
            system.heal()  # it has to reach its broker to start
            system.kill_service(choices.uniform(0, 0.5))
        elif victim == "database":
            system.kill_database(choices.uniform(0, 0.5))
        done[victim] += 1
        keep_emitting(system, records, pause_s)
    system.heal()
    while system.promised() < records:
        keep_emitting(system, records, pause_s)
        time.sleep(0.1)
    return done


@SYSTEMS
def test_every_promised_record_is_stored_once_and_in_order(system):
    """Four emitters, each process killed twice, some cuts and delays."""
    seed = fault_seed()
    kills = 8 if system.monetdb else 6
    done = run_faults(system, seed, records=6000, kills=kills, pause_s=0.02, interval_s=0.6)
    system.deliver()
    total = system.check_exactly_once()
    assert total >= 6000, f"seed {seed}, {done}"


@pytest.mark.long
@pytest.mark.timeout(1500)
@SYSTEMS
def test_hundred_thousand_records_and_fifty_kills(system):
    """The long form."""
    seed = fault_seed()
    begun = time.monotonic()
    done = run_faults(system, seed, records=100_000, kills=50, pause_s=0.03, interval_s=2.0)
    system.deliver()
    total = system.check_exactly_once()
    sys.stdout.write(f"{total} records, killed {done}, {time.monotonic() - begun:.0f} s\n")
    assert total >= 100_000, f"seed {seed}, {done}"
    assert sum(done.values()) == 50
