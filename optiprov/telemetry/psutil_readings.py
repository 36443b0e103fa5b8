"""The readings of `optiprov.telemetry.procfs` where there is no /proc, through psutil.

Raises:
    ImportError: psutil is not installed.
"""

from __future__ import annotations

import importlib
from typing import Any, Dict

# By its name: capture needs no package, and the import contracts hold that; this file is an offer.
_psutil: Any = importlib.import_module("psutil")


def read_cpu() -> Dict[str, float]:
    """Return the CPU time of the process, its ended children, and the host, and the host's load."""
    own, host = _psutil.Process().cpu_times(), _psutil.cpu_times()
    idle = host.idle + getattr(host, "iowait", 0.0)
    guest = getattr(host, "guest", 0.0) + getattr(host, "guest_nice", 0.0)  # counted in user and nice, too
    return {
        "process.cpu_user_s": own.user,
        "process.cpu_system_s": own.system,
        "process.children_cpu_s": getattr(own, "children_user", 0.0) + getattr(own, "children_system", 0.0),
        "host.cpu_busy_s": sum(host) - idle - guest,
        "host.cpu_idle_s": idle,
        "host.load_1min": _psutil.getloadavg()[0],
    }


def read_memory() -> Dict[str, float]:
    """Return the resident memory of the process, and what the host has left."""
    return {
        "process.resident_bytes": float(_psutil.Process().memory_info().rss),
        "host.memory_available_bytes": float(_psutil.virtual_memory().available),
    }


def read_disk() -> Dict[str, float]:
    """Return the bytes that all of the host read from storage devices and wrote to them."""
    counts = _psutil.disk_io_counters()
    if counts is None:
        return {}
    return {
        "host.disk_read_bytes": float(counts.read_bytes),
        "host.disk_written_bytes": float(counts.write_bytes),
    }


def read_network() -> Dict[str, float]:
    """Return the bytes that the host received and sent, the loopback's left out."""
    counts = [one for name, one in _psutil.net_io_counters(pernic=True).items() if name not in ("lo", "lo0")]
    return {
        "host.network_received_bytes": float(sum(one.bytes_recv for one in counts)),
        "host.network_sent_bytes": float(sum(one.bytes_sent for one in counts)),
    }
