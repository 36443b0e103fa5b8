"""Readings of this process and its host on Linux, from /proc and the standard library.

Counters (`_s` of CPU, bytes of disk and network) run from the start of the process or the host: what a task
took is the difference between its end and its begin. What the system does not tell is left out.
"""

from __future__ import annotations

import os
import resource
from typing import Dict, List

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_SECTOR_BYTES = 512  # of /proc/diskstats, whatever the device's own are


def read_cpu() -> Dict[str, float]:
    """Return the CPU time of the process, its ended children, and the host, and the host's load."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    ticks = [int(text) for text in _lines("/proc/stat")[0].split()[1:9]]
    idle = ticks[3] + ticks[4]  # idle, and waiting for input or output
    return {
        "process.cpu_user_s": own.ru_utime,
        "process.cpu_system_s": own.ru_stime,
        "process.children_cpu_s": children.ru_utime + children.ru_stime,
        "host.cpu_busy_s": (sum(ticks) - idle) / _TICKS_PER_S,
        "host.cpu_idle_s": idle / _TICKS_PER_S,
        "host.load_1min": os.getloadavg()[0],
    }


def read_memory() -> Dict[str, float]:
    """Return the resident memory of the process, now and at most, and what the host has left."""
    pages = int(_lines("/proc/self/statm")[0].split()[1])
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    available = [line for line in _lines("/proc/meminfo") if line.startswith("MemAvailable:")]
    reading = {
        "process.resident_bytes": float(pages * _PAGE_BYTES),
        "process.peak_resident_bytes": peak_kb * 1024.0,
    }
    if available:
        reading["host.memory_available_bytes"] = int(available[0].split()[1]) * 1024.0
    return reading


def read_disk() -> Dict[str, float]:
    """Return the bytes that the process, and all of the host, read from storage devices and wrote to them."""
    reading: Dict[str, float] = {}
    try:
        counts = dict(line.split(": ") for line in _lines("/proc/self/io"))
        reading["process.disk_read_bytes"] = float(counts["read_bytes"])
        reading["process.disk_written_bytes"] = float(counts["write_bytes"])
    except (OSError, KeyError, ValueError):
        pass  # a hardened kernel keeps it to itself
    devices = [fields for fields in map(str.split, _lines("/proc/diskstats")) if _is_device(fields[2])]
    reading["host.disk_read_bytes"] = float(sum(int(fields[5]) for fields in devices) * _SECTOR_BYTES)
    reading["host.disk_written_bytes"] = float(sum(int(fields[9]) for fields in devices) * _SECTOR_BYTES)
    return reading


def _is_device(name: str) -> bool:
    """Whether it is a device of its own: no partition, and nothing that lies on others (loop, dm, md)."""
    if name not in _devices:
        _devices[name] = os.path.exists(f"/sys/block/{name.replace('/', '!')}/device")
    return _devices[name]


_devices: Dict[str, bool] = {}


def read_network() -> Dict[str, float]:
    """Return the bytes that the host received and sent without the loopback's; no process has a count."""
    received = sent = 0
    for line in _lines("/proc/net/dev")[2:]:
        name, _, counts = line.partition(":")
        if name.strip() != "lo":
            fields = counts.split()
            received, sent = received + int(fields[0]), sent + int(fields[8])
    return {"host.network_received_bytes": float(received), "host.network_sent_bytes": float(sent)}


def read_network_behind(path: str, interface: str) -> Dict[str, float]:
    """Return the bytes that a host received and sent which is connected to an interface of a switch.

    Args:
        path: a file like /proc/net/dev.
        interface: the interface, which sends what the host receives.

    Raises:
        OSError: the switch is gone.
        KeyError: it has no such interface.
    """
    counts = {name.strip(): text.split() for name, _, text in (line.partition(":") for line in _lines(path))}
    fields = counts[interface]
    return {"host.network_received_bytes": float(fields[8]), "host.network_sent_bytes": float(fields[0])}


def _lines(path: str) -> List[str]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        chunks = [os.read(descriptor, 1 << 16)]
        while chunks[-1]:
            chunks.append(os.read(descriptor, 1 << 16))
    finally:
        os.close(descriptor)
    return b"".join(chunks).decode("utf-8", "replace").splitlines()
