"""CPU time and memory of processes, and the one line of JSON in which a measurement reports."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import psutil


def tree_cpu_s(pid: int | None = None) -> float:
    """Return the CPU seconds that a process and its children, living and ended, have taken so far.

    Args:
        pid: of the process; by default this one.
    """
    root = psutil.Process(os.getpid() if pid is None else pid)
    total = 0.0
    for process in (root, *root.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue  # ended in between; its parent has its time from now on
        total += times.user + times.system
        total += times.children_user + times.children_system
    return total


def resident_bytes(pid: int | None = None) -> int:
    """Return the resident memory of a process, by default of this one."""
    return int(psutil.Process(os.getpid() if pid is None else pid).memory_info().rss)


def report(**figures: Any) -> None:
    """Print what was measured as one line of JSON, for the driver."""
    sys.stdout.write(json.dumps(figures) + "\n")
    sys.stdout.flush()
