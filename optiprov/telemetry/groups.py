"""What the processes of each host of a deployment use together, read from /proc.

Processes belong to the host that OPTIPROV_HOST in their environment names. Several hosts may share a machine.
"""

from __future__ import annotations

import os
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_HOST_VARIABLE = b"OPTIPROV_HOST="

_Process = Tuple[int, int]  # its id and its start time, for ids are given again


class _Reading(NamedTuple):
    cpu_s: float
    read_bytes: float
    written_bytes: float


class ProcessGroups:
    """Adds up the processes of hosts. Not thread-safe: counters go on from sample to sample.

    Args:
        hosts: the ids of the hosts.
        marker: what else the environment of their processes has, `NAME=value`: that of the deployment.
    """

    def __init__(self, hosts: Sequence[str], marker: str) -> None:
        self._marker = os.fsencode(marker)
        self._totals = {host: _Reading(0.0, 0.0, 0.0) for host in hosts}
        self._owners: Dict[_Process, Optional[str]] = {}
        self._last: Dict[_Process, _Reading] = {}

    def sample(self) -> Dict[str, Dict[str, float]]:
        """Return the metrics of each host.

        `processes.count` and `processes.resident_bytes` are those of the moment; the others are counters
        from the first sample on, to which short-lived processes add what was seen of them.
        """
        now = {host: {"processes.count": 0.0, "processes.resident_bytes": 0.0} for host in self._totals}
        living: List[_Process] = []
        for name in os.listdir("/proc"):
            fields = _stat(name) if name.isdigit() else []
            if not fields:
                continue
            process = (int(name), int(fields[19]))
            living.append(process)
            host = self._owner(process)
            if host is None:
                continue
            now[host]["processes.count"] += 1
            now[host]["processes.resident_bytes"] += int(fields[21]) * _PAGE_BYTES
            self._count(host, process, _reading(process[0], fields))
        self._forget_ended(living)
        for host, total in self._totals.items():
            now[host]["processes.cpu_s"] = total.cpu_s
            now[host]["processes.disk_read_bytes"] = total.read_bytes
            now[host]["processes.disk_written_bytes"] = total.written_bytes
        return now

    def _owner(self, process: _Process) -> Optional[str]:
        if process not in self._owners:
            self._owners[process] = self._read_owner(process[0])
        return self._owners[process]

    def _read_owner(self, pid: int) -> Optional[str]:
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                variables = file.read().split(b"\0")
        except OSError:  # of another user, or ended meanwhile
            return None
        if self._marker not in variables:
            return None
        named = [
            os.fsdecode(one[len(_HOST_VARIABLE) :]) for one in variables if one.startswith(_HOST_VARIABLE)
        ]
        return named[0] if named and named[0] in self._totals else None

    def _count(self, host: str, process: _Process, reading: _Reading) -> None:
        last = self._last.get(process, _Reading(0.0, 0.0, 0.0))
        total = self._totals[host]
        self._totals[host] = _Reading(
            *(sum_ + max(new - old, 0.0) for sum_, new, old in zip(total, reading, last))
        )
        self._last[process] = reading

    def _forget_ended(self, living: List[_Process]) -> None:
        there = set(living)
        for known in (self._owners, self._last):
            for process in [one for one in known if one not in there]:
                del known[process]


def _stat(pid: str) -> List[str]:
    """Return the fields of /proc/PID/stat behind the name; none where the process has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read().decode("ascii", "replace")
    except OSError:
        return []
    fields = text[text.rfind(")") + 2 :].split()
    return fields if len(fields) > 21 and fields[0] not in "ZX" else []


def _reading(pid: int, fields: List[str]) -> _Reading:
    cpu_s = (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
    try:
        with open(f"/proc/{pid}/io", "rb") as file:
            counts = dict(line.split(b": ") for line in file.read().splitlines())
        return _Reading(cpu_s, float(counts[b"read_bytes"]), float(counts[b"write_bytes"]))
    except (OSError, KeyError, ValueError):  # a hardened kernel keeps it to itself
        return _Reading(cpu_s, 0.0, 0.0)
