"""Telemetry of tasks: samples at their begin and end, where it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from optiprov.capture.warnings import warn

if TYPE_CHECKING:
    from optiprov.telemetry.resources import Asked
    from optiprov.telemetry.sampler import Sampler


def make_sampler(asked: Asked) -> Optional[Sampler]:
    """Return a sampler of what is asked for; None, with a warning, where it cannot be had."""
    from optiprov.errors import InputError
    from optiprov.telemetry.resources import parse_resources
    from optiprov.telemetry.sampler import Sampler

    try:
        resources = parse_resources(asked)
        return Sampler(resources) if resources else None
    except InputError as error:
        warn("no telemetry is recorded: %s", error)
        return None
