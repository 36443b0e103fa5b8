"""Find and end the processes of an owner; run as a script, wait for the owner's death and do so.

A file of its own on the standard library alone: `optiprov.deploy.supervisor` runs it with
`python -S -E -s`, so that it stands ready after some 15 ms and holds a few MB. Its standard input is
a pipe of which only the owner has the write end: end-of-file means that the owner died, of whatever.
The owner's start time is watched too, because a child that the owner forked may hold the pipe open.

Processes are found by session (each task of a host leads one) and by an assignment in their
environment, so that neither a double fork nor `setsid` escapes.
"""

import os
import select
import sys
import time

SIGTERM, SIGKILL = 15, 9  # importing `signal` would cost a third of the start-up time
GRACE_S = 3.0
DEADLINE_S = 9.0
OWNER_CHECK_S = 1.0
_KERNEL_THREAD = 0x00200000  # a flag of the kernel's own threads (PF_KTHREAD), which have no environment


def start_time(pid: int) -> "int | None":
    """The start time of a process in clock ticks since boot, None if it is gone or a zombie."""
    fields = _stat_fields(pid)
    return int(fields[19]) if fields else None


def find_processes(assignments: "tuple[str, ...]", sessions: "set[int]") -> "list[int]":
    """The ids of live processes that have every assignment in their environment, or lie in a session.

    Args:
        assignments: `NAME=value` strings, all of which the environment must hold; none matches nothing.
        sessions: Session ids; a member of one of them is found whatever its environment.
    """
    wanted = [text.encode() for text in assignments]
    found = []
    own = os.getpid()
    for name in os.listdir("/proc"):  # noqa: PTH208  pathlib would double the start-up time
        pid = int(name) if name.isdigit() else 0
        if not pid or pid == own:
            continue
        fields = _stat_fields(pid)
        if not fields or int(fields[6]) & _KERNEL_THREAD:
            continue
        if int(fields[3]) in sessions or (wanted and _environment_holds(pid, wanted)):
            found.append(pid)
    return found


def end_processes(
    assignments: "tuple[str, ...]",
    sessions: "set[int]",
    *,
    grace_s: float = GRACE_S,
    deadline_s: float = DEADLINE_S,
) -> "list[int]":
    """End what `find_processes` finds: TERM, then KILL after the grace; return at once when all ended.

    Args:
        assignments: As for `find_processes`.
        sessions: As for `find_processes`.
        grace_s: Seconds between TERM and KILL.
        deadline_s: Seconds after which processes that do not even yield to KILL are given up.

    Returns:
        The ids of all processes that were signalled.
    """
    started = time.monotonic()
    signalled: set[int] = set()
    pause_s = 0.005
    while processes := find_processes(assignments, sessions):
        elapsed_s = time.monotonic() - started
        if elapsed_s > deadline_s:
            break
        for pid in processes:
            if elapsed_s > grace_s:
                _signal(pid, SIGKILL)
            elif pid not in signalled:
                _signal(pid, SIGTERM)
            signalled.add(pid)
        time.sleep(pause_s)
        pause_s = min(pause_s * 2, 0.1)
    return sorted(signalled)


def not_recycled(sessions: "dict[int, int | None]") -> "set[int]":
    """The sessions (id to start time of the leader) whose id was not given to another process since."""
    return {session for session, start in sessions.items() if start_time(session) in (None, start)}


def _stat_fields(pid: int) -> "list[str]":
    """The fields of /proc/PID/stat after the name (state, ppid, pgrp, session, ...); empty if it ended."""
    try:
        text = _read(pid, "stat").decode(errors="replace")
    except OSError:
        return []
    if ")" not in text:
        return []
    fields = text[text.rindex(")") + 2 :].split()
    return [] if fields[0] in "ZX" else fields


def _environment_holds(pid: int, wanted: "list[bytes]") -> bool:
    try:
        environment = _read(pid, "environ").split(b"\0")
    except OSError:  # of another user, or ended meanwhile
        return False
    return all(text in environment for text in wanted)


def _read(pid: int, name: str) -> bytes:
    with open(f"/proc/{pid}/{name}", "rb") as file:  # noqa: PTH123  as above
        return file.read()


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except OSError:  # ended meanwhile
        return


def _owner_lives(owner: int, owner_start: int) -> bool:
    return start_time(owner) == owner_start


def watch_owner(owner: int, owner_start: int) -> "set[int] | None":
    """Read orders from standard input until the owner dies.

    Orders are lines: `watch ID`, `forget ID` for a session, `close` for a clean end.

    Returns:
        The sessions to end, or None after a clean end.
    """
    sessions: dict[int, int | None] = {}
    pending = b""
    while True:
        readable, _, _ = select.select([0], [], [], OWNER_CHECK_S)
        if not readable:
            if _owner_lives(owner, owner_start):
                continue
            return not_recycled(sessions)
        chunk = os.read(0, 65536)
        if not chunk:
            return not_recycled(sessions)
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            order, _, number = line.partition(b" ")
            if order == b"close":
                return None
            session = int(number)
            if order == b"watch":
                sessions[session] = start_time(session)
            else:
                sessions.pop(session, None)


def main(arguments: "list[str]") -> None:
    """Watch the owner (`assignment owner-pid owner-start-time`) and end its processes when it dies."""
    assignment, owner, owner_start = arguments
    sessions = watch_owner(int(owner), int(owner_start))
    if sessions is not None:
        end_processes((assignment,), sessions)


if __name__ == "__main__":
    main(sys.argv[1:])
    os._exit(0)  # whoever closes this waits for it
