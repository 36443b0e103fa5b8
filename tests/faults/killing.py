"""Kills of processes, one after the other, while records are emitted and the network is disturbed."""

import random
import time

EMITTERS = 4
COMMIT_S = 30.0  # until the next commit; emitters that start then may have to connect first


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
        system.start_emitter(count, pause_s, "kinds")


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


def kill(system, choices, victim, emit):
    """Kill one of the processes, and start it again.

    Args:
        system: all of it.
        choices: makes them.
        victim: what is killed; the service before or after a commit.
        emit: called while a commit is waited for, so that there is something to commit.
    """
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
            emit()
            time.sleep(0.05)
        system.kill_service(choices.uniform(0, 0.5))


def run_faults(system, seed, *, records, kills, pause_s, interval_s):
    """Emit while processes are killed, and until there are so many records; return what was killed.

    Emission goes on all the while: a kill tells nothing where there is nothing to lose.
    """
    choices = random.Random(seed)

    def emit():
        keep_emitting(system, records // (EMITTERS * 4), pause_s)

    victims = choose_victims(system, choices, kills)
    for victim in victims:
        emit()
        time.sleep(choices.uniform(0, interval_s))
        disturb(system, choices)
        kill(system, choices, victim, emit)
    system.heal()
    while system.promised() < records:
        emit()
        time.sleep(0.1)
    return victims
