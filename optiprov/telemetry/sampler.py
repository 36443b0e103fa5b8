"""Samples this process and its host."""

from __future__ import annotations

import os
from typing import Any, Callable, Dict, List, Tuple

from optiprov.errors import InputError


class Sampler:
    """Reads what it is asked for, at one moment. Thread-safe; it can be pickled.

    Args:
        resources: some of `optiprov.telemetry.resources.RESOURCES`.

    Raises:
        InputError: there is no /proc here, and psutil is not installed.
    """

    def __init__(self, resources: Tuple[str, ...]) -> None:
        self.resources = resources
        self._readings = _readings(resources)

    def __reduce__(self) -> Tuple[Any, ...]:
        return (Sampler, (self.resources,))

    def sample(self) -> Dict[str, float]:
        """Return a value for each metric; what the system refuses to tell is left out."""
        values: Dict[str, float] = {}
        for read in self._readings:
            try:
                values.update(read())
            except (OSError, ValueError, IndexError):  # such as a container without one of the files
                continue
        return values


def _readings(resources: Tuple[str, ...]) -> List[Callable[[], Dict[str, float]]]:
    module: Any
    if os.path.exists("/proc/self/statm"):
        from optiprov.telemetry import procfs as module
    else:
        try:
            from optiprov.telemetry import psutil_readings as module
        except ImportError:
            raise InputError(
                "telemetry reads /proc, which this system lacks. Install psutil, or turn telemetry off."
            ) from None
    return [getattr(module, "read_" + name) for name in resources]
