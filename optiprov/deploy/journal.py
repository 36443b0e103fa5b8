"""The journal of a deployment: what exists because of it, written before it exists."""

from __future__ import annotations

import json
import os
import threading
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from optiprov.deploy.frozen import frozen
from optiprov.deploy.watchdog import start_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TypeGuard

JOURNAL_NAME = "journal.jsonl"
MARKER_VARIABLE = "OPTIPROV_DEPLOYMENT"
_MAX_LINE_BYTES = 1 << 16


class Journal:
    """An append-only file of events, one JSON object a line; safe to write from several threads.

    Args:
        path: The file; created when the first event is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()

    def write(self, event: str, **details: Any) -> None:
        """Append one event; it is with the kernel, out of reach of a kill -9, when this returns."""
        entry = {"event": event, "at": datetime.now(timezone.utc).isoformat(), **details}
        with self._lock:
            descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            with os.fdopen(descriptor, "r+b", buffering=0) as file:
                line = (json.dumps(entry) + "\n").encode()
                line = line if _is_whole(file) else b"\n" + line
                while line:  # a disk that gets full takes a part, and refuses the rest
                    line = line[file.write(line) :]

    def discard_torn(self) -> None:
        """Remove it where not even its first event is whole: nothing was made, that event comes first."""
        try:
            with self.path.open("rb") as file:
                is_torn = b"\n" not in file.readline(_MAX_LINE_BYTES)
        except OSError:
            return
        if is_torn:
            self.path.unlink()

    def write_owner(self, deployment_id: str, *, is_detached: bool = False) -> None:
        """Write who owns the deployment: process id, its start time, and the boot these refer to.

        A detached one outlives its owner: nobody but the commands that work on it ends its processes.
        """
        owner = os.getpid()
        self.write(
            "deployment",
            id=deployment_id,
            marker=marker_of(deployment_id),
            owner_pid=owner,
            owner_start=start_time(owner),
            boot_id=boot_id(),
            is_detached=is_detached,
        )


@frozen
class Journalled:
    """What a journal says about its deployment.

    Attributes:
        id: The deployment's id.
        marker: The assignment in the environment of its processes.
        owner_pid: The process that deployed it.
        owner_start: The start time of that process, None if it could not be read.
        boot_id: The boot that process ids and start times refer to.
        is_closed: Whether it was finalized or reaped.
        is_detached: Whether it outlives its owner.
        sessions: The sessions that were started and not ended, with the start time of the leader.
        hosts: What was journalled of each host before it was made, by its id.
        machines: What was journalled of each machine before anything was made there.
        left: What was left in the background, and whose end nobody has noticed, by the process id.
        reservations: What was journalled of each reservation before it was made, and not released since.
        has_network: Whether a network of the hosts' own was begun to be made.
    """

    id: str
    marker: str
    owner_pid: int
    owner_start: int | None
    boot_id: str
    is_closed: bool
    is_detached: bool
    sessions: dict[int, int | None]
    hosts: dict[str, Mapping[str, Any]]
    machines: tuple[Mapping[str, Any], ...]
    left: dict[int, Mapping[str, Any]]
    reservations: tuple[Mapping[str, Any], ...] = ()
    has_network: bool = False

    def sessions_of_this_boot(self) -> dict[int, int | None]:
        """The sessions that may still live: none after a reboot, when ids are of other processes."""
        return self.sessions if self.boot_id == boot_id() else {}


def read_journal(path: Path) -> Journalled | None:
    """What a file says, None if it is no journal of a deployment or cannot be read.

    Strict, because what it says is killed: an application may leave a file of the same name, with
    anything in it. Lines that are no events of ours (one may be cut short by a crash) are passed over.
    """
    try:
        with path.open("rb") as file:
            first = _event(file.readline(_MAX_LINE_BYTES))
            if first.get("event") != "deployment":
                return None
            events = [_event(line) for line in file]
    except OSError:
        return None
    deployment_id, marker = first.get("id"), first.get("marker")
    owner_pid, owner_start, boot = (first.get(key) for key in ("owner_pid", "owner_start", "boot_id"))
    if not isinstance(deployment_id, str) or marker != marker_of(deployment_id):
        return None
    if not (_is_process_id(owner_pid) and _is_start_time(owner_start) and isinstance(boot, str)):
        return None
    return Journalled(
        id=deployment_id,
        marker=marker,
        owner_pid=owner_pid,
        owner_start=owner_start,
        boot_id=boot,
        is_closed=any(event.get("event") in {"finalized", "reaped"} for event in events),
        is_detached=first.get("is_detached") is True,
        sessions=_live_sessions(events),
        hosts={str(event.get("id")): event for event in events if event.get("event") == "host"},
        machines=tuple(event for event in events if _is_of_machine(event)),
        left=_left(events),
        reservations=_reservations(deployment_id, events),
        has_network=any(event.get("event") == "network" for event in events),
    )


def _reservations(deployment_id: str, events: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """Those that may be there still; only of jobs that have the deployment's name, for they are killed."""
    found: dict[tuple[Any, Any], Mapping[str, Any]] = {}
    for event in events:
        testbed, name = event.get("testbed"), event.get("job_name")
        if not (isinstance(name, str) and name.endswith(deployment_id) and isinstance(testbed, str)):
            continue
        if event.get("event") == "reservation" and isinstance(event.get("configuration"), dict):
            found[testbed, name] = event
        elif event.get("event") == "released":
            found.pop((testbed, name), None)
    return tuple(found.values())


def _is_whole(file: BinaryIO) -> bool:
    """Whether a file is empty, or ends with a whole line: what is appended to a torn one is lost with it."""
    size = file.seek(0, os.SEEK_END)
    if size == 0:
        return True
    file.seek(size - 1)
    return file.read(1) == b"\n"


def _is_of_machine(event: Mapping[str, Any]) -> bool:
    name, hosts = event.get("name"), event.get("hosts")
    return event.get("event") == "machine" and isinstance(name, str) and isinstance(hosts, list)


def _live_sessions(events: Sequence[Mapping[str, Any]]) -> dict[int, int | None]:
    sessions: dict[int, int | None] = {}
    for event in events:
        session, start = event.get("pgid"), event.get("start")
        if not _is_process_id(session):
            continue
        if event.get("event") == "started" and _is_start_time(start):
            sessions[session] = start
        elif event.get("event") == "ended":
            sessions.pop(session, None)
    return sessions


def _left(events: Sequence[Mapping[str, Any]]) -> dict[int, Mapping[str, Any]]:
    left: dict[int, Mapping[str, Any]] = {}
    for event in events:
        process = event.get("pgid")
        if not _is_process_id(process):
            continue
        if event.get("event") == "started" and isinstance(event.get("left"), str):
            left[process] = event
        elif event.get("event") in {"started", "ended", "noticed"}:
            left.pop(process, None)
    return left


def _event(line: bytes) -> Mapping[str, Any]:
    """The event in a line; an empty one if it holds none."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return event if isinstance(event, dict) else {}


def _is_process_id(value: Any) -> TypeGuard[int]:
    # Not 0, the session of the kernel's threads, and not 1.
    return isinstance(value, int) and not isinstance(value, bool) and value > 1


def _is_start_time(value: Any) -> TypeGuard[int | None]:
    return value is None or (isinstance(value, int) and not isinstance(value, bool))


def marker_of(deployment_id: str) -> str:
    """The assignment in the environment of a deployment's processes by which they are found."""
    return f"{MARKER_VARIABLE}={deployment_id}"


def boot_id() -> str:
    """What names this boot of the machine: process ids and start times mean nothing in another."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
