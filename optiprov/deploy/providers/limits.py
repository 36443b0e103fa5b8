"""Limits of local hosts: the command before another one that holds its processes to them."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from optiprov.errors import DeploymentError

if TYPE_CHECKING:
    from optiprov.deploy.models import Limits


def limiting_command(limits: Limits | None, number: int) -> list[str]:
    """Return what goes before a command, so that it and all that it starts are held to limits.

    Args:
        limits: The limits of a host.
        number: The host's number among those of the machine: hosts take the CPUs in turn.

    Raises:
        DeploymentError: The machine lacks what holds processes to limits.
    """
    if limits is None:
        return []
    command = []
    if limits.cpus is not None:
        usable = sorted(os.sched_getaffinity(0))
        count = min(limits.cpus, len(usable))
        chosen = {usable[(number * count + offset) % len(usable)] for offset in range(count)}
        command += [_program("taskset"), "--cpu-list", ",".join(map(str, sorted(chosen)))]
    bounds = []
    if limits.memory_mib is not None:
        bounds.append(f"--as={limits.memory_mib << 20}")
    if limits.open_files is not None:
        bounds.append(f"--nofile={limits.open_files}")
    if bounds:
        command += [_program("prlimit"), *bounds]
    return command


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise DeploymentError(
            f"limits of local hosts need the program {name}. Install util-linux, or remove `limits`."
        )
    return found
