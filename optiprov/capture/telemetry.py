"""Telemetry of tasks: samples at their begin and end, where it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from optiprov.capture.warnings import warn
from optiprov.records import Telemetry, now_us

if TYPE_CHECKING:
    from optiprov.capture.workflow import Workflow
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


def emit_sample(sampler: Sampler, run: Workflow, task_id: str, transformation: str, moment: str) -> None:
    """Sample now, and emit it as a record of the run."""
    sampled_us = now_us()
    run.emit(Telemetry(run.run_id, task_id, transformation, moment, sampled_us, dict(sampler.sample())))
