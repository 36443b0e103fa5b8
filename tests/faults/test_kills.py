"""Kill -9 of application, broker, service and MonetDB at random moments, and a network that cuts and delays.

The seed is printed; OPTIPROV_FAULT_SEED=<seed> repeats what was chosen (not the instants at which it struck).
"""

import sys
import time
from collections import Counter

import pytest

from tests.faults.killing import run_faults
from tests.faults.sabotage import SABOTAGES
from tests.faults.system import System, fault_seed
from tests.monetdb.databases import NamedServer, named_url, start_server

SABOTAGED_ROUNDS = 4
SEGMENT_BYTES = 4096
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
