"""Kill -9 of application, broker, service and MonetDB at random moments, and a network that cuts and delays.

The seed is printed; OPTIPROV_FAULT_SEED=<seed> repeats what was chosen (not the instants at which it struck).
"""

import random
import sys
import time
from collections import Counter

import pytest

from tests.faults.sabotage import SABOTAGES
from tests.faults.system import System, fault_seed
from tests.monetdb.databases import NamedServer, named_url, start_server

EMITTERS = 4
SABOTAGED_ROUNDS = 4
SEGMENT_BYTES = 1024
COMMIT_S = 30.0  # until the next commit; emitters that start then may have to connect first
SYSTEMS = pytest.mark.parametrize(
    "system",
    [("embedded", "duckdb"), ("mosquitto", "duckdb"), ("embedded", "monetdb"), ("mosquitto", "monetdb")],
    ids="-".join,
    indirect=True,
)


@pytest.fixture
def monetdb(request, tmp_path):
    """A MonetDB server that a test may kill; where the environment names one, that, which is left alone."""
    if named_url():
        yield NamedServer(request.getfixturevalue("monetdb_url"))
        return
    server = start_server(tmp_path / "provenance")
    yield server
    server.kill()


@pytest.fixture
def seed():
    """The seed of the test's faults."""
    return fault_seed()


@pytest.fixture
def system(request, tmp_path, clean_environment, seed):
    """All of it, behind the broker and before the engine that the test's parameter names, and what is broken.

    Segments are so small that they are freed all the time: what is freed too early cannot be sent again.
    """
    broker, engine, sabotage = (*request.param, "")[:3]
    server = request.getfixturevalue("monetdb") if engine == "monetdb" else None
    options = {"segment_bytes": SEGMENT_BYTES, "seed": seed, "sabotage": sabotage}
    system = System(tmp_path, broker, clean_environment, monetdb=server, **options)
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


def keep_emitting(system, count, pause_s):
    """Start emitters in place of those that have ended or were killed."""
    running = [one for one in system.emitters if one.poll() is None]
    for _ in range(EMITTERS - len(running)):
        system.start_emitter(count, pause_s, "tasks")


def kill_application(system, choices):
    """Kill -9 one or two emitters."""
    running = [one for one in system.emitters if one.poll() is None]
    for one in choices.sample(running, min(len(running), choices.randint(1, 2))):
        one.kill()
        one.wait(10)


def choose_victims(system, choices, kills):
    """Return what is to be killed; each kind in its turn, the service twice as often, in any order."""
    kinds = ["service before", "application", "broker", "service after"]
    if system.monetdb and system.monetdb.is_ours:
        kinds.append("database")
    victims = (kinds * kills)[:kills]
    choices.shuffle(victims)
    return victims


def run_faults(system, seed, *, records, kills, pause_s, interval_s):
    """Emit while processes are killed, and until there are so many records; return what was killed.

    Emission goes on all the while: a kill tells nothing where there is nothing to lose.
    """
    count = records // (EMITTERS * 4)
    choices = random.Random(seed)
    victims = choose_victims(system, choices, kills)
    for victim in victims:
        keep_emitting(system, count, pause_s)
        time.sleep(choices.uniform(0, interval_s))
        disturb(system, choices)
        what, _, moment = victim.partition(" ")
        if what == "application":
            kill_application(system, choices)
        elif what == "broker":
            system.kill_broker(choices.uniform(0, 0.5))
        elif what == "database":
            system.kill_database(choices.uniform(0, 0.5))
        else:
            system.heal()  # it has to reach its broker to start
            system.proxy.delay(choices.uniform(0.05, 0.08))  # so that clients are in the midst of sending
            system.doom_service(moment)
            deadline = time.monotonic() + COMMIT_S
            while system.service.process.poll() is None and time.monotonic() < deadline:
                keep_emitting(system, count, pause_s)
                time.sleep(0.05)
            system.kill_service(choices.uniform(0, 0.5))
    system.heal()
    while system.promised() < records:
        keep_emitting(system, count, pause_s)
        time.sleep(0.1)
    return victims


def run_short_form(system, seed):
    """Four emitters, each process killed, some cuts and delays; nothing may be lost or there twice."""
    done = run_faults(system, seed, records=4000, kills=6, pause_s=0.08, interval_s=0.5)
    system.deliver()
    total = system.check_exactly_once()
    assert total >= 4000, f"seed {seed}, {done}"


@SYSTEMS
def test_every_promised_record_is_stored_once_and_in_order(system, seed):
    """The short form."""
    run_short_form(system, seed)


@pytest.mark.long
@pytest.mark.parametrize(
    "system",
    [(broker, "duckdb", sabotage) for sabotage in SABOTAGES for broker in ("embedded", "mosquitto")],
    ids="-".join,
    indirect=True,
)
def test_sabotage_does_not_pass_the_short_form(system, seed):
    """The product broken on purpose: within a few rounds, the short form fails."""
    for turn in range(SABOTAGED_ROUNDS):
        try:
            run_short_form(system, seed + turn)
        except AssertionError:
            return
    pytest.fail(f"the short form passed {SABOTAGED_ROUNDS} times")


@pytest.mark.long
@pytest.mark.timeout(1500)
@SYSTEMS
def test_hundred_thousand_records_and_fifty_kills(system, seed):
    """The long form; emission lasts about as long as the kills do."""
    begun = time.monotonic()
    done = run_faults(system, seed, records=100_000, kills=50, pause_s=0.1, interval_s=2.0)
    system.deliver()
    total = system.check_exactly_once()
    seconds = time.monotonic() - begun
    sys.stdout.write(f"{total} records, killed {dict(Counter(done))}, {seconds:.0f} s\n")
    assert total >= 100_000, f"seed {seed}, {done}"
