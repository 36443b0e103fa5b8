"""Kill -9 of application, broker and service at random moments, and a network that cuts and delays.

The seed is printed; OPTIPROV_FAULT_SEED=<seed> repeats what was chosen (not the instants at which it struck).
"""

import random
import sys
import time

import pytest

from tests.faults.oracle import check_exactly_once
from tests.faults.system import System, fault_seed

EMITTERS = 4


@pytest.fixture
def system(request, tmp_path, clean_environment):
    """All of it, behind the broker that the test's parameter names."""
    system = System(tmp_path, request.param, clean_environment)
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
    keep_emitting(system, records, pause_s)
    while sum(done.values()) < kills:
        time.sleep(choices.uniform(0, interval_s))
        disturb(system, choices)
        victim = choices.choice(list(done))
        if victim == "application":
            running = [one for one in system.emitters if one.poll() is None]
            if not running and system.promised() >= records:
                victim = choices.choice(["broker", "service"])
            else:
                for one in running[: choices.randint(1, 2)]:
                    one.kill()
                    one.wait(10)
        if victim == "broker":
            system.kill_broker(choices.uniform(0, 0.5))
        elif victim == "service":
            system.heal()  # it has to reach its broker to start
            system.kill_service(choices.uniform(0, 0.5))
        done[victim] += 1
        keep_emitting(system, records, pause_s)
    system.heal()
    while system.promised() < records:
        keep_emitting(system, records, pause_s)
        time.sleep(0.1)
    return done


@pytest.mark.parametrize("system", ["embedded", "mosquitto"], indirect=True)
def test_every_promised_record_is_stored_once_and_in_order(system):
    """Four emitters, six kills, some cuts and delays."""
    seed = fault_seed()
    done = run_faults(system, seed, records=6000, kills=6, pause_s=0.02, interval_s=0.6)
    system.deliver()
    total = check_exactly_once(system.provenance(), system.oracle)
    assert total >= 6000, f"seed {seed}, {done}"


@pytest.mark.long
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("system", ["embedded", "mosquitto"], indirect=True)
def test_hundred_thousand_records_and_fifty_kills(system):
    """The long form."""
    seed = fault_seed()
    begun = time.monotonic()
    done = run_faults(system, seed, records=100_000, kills=50, pause_s=0.03, interval_s=2.0)
    system.deliver()
    total = check_exactly_once(system.provenance(), system.oracle)
    sys.stdout.write(f"{total} records, killed {done}, {time.monotonic() - begun:.0f} s\n")
    assert total >= 100_000, f"seed {seed}, {done}"
    assert sum(done.values()) == 50
