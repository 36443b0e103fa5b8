"""What a scenario asks for and cannot be had here: it is read and checked, and deploying refuses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optiprov.deploy.problems import Problems

if TYPE_CHECKING:
    from collections.abc import Iterable

    from optiprov.deploy.models import LayersServices
    from optiprov.deploy.placement import Placement
    from optiprov.deploy.problems import Problem
    from optiprov.deploy.yaml_source import YamlSource

PROVIDED = frozenset({"local"})
"""The testbeds that have a provider."""


def obstacles(
    source: YamlSource, content: LayersServices, placements: Iterable[Placement]
) -> tuple[Problem, ...]:
    """What stops a scenario from being deployed, each with where it is asked for and a way on."""
    problems = Problems()
    for testbed in dict.fromkeys(placement.testbed for placement in placements):
        if testbed not in PROVIDED:
            source.report(problems, ("environment", testbed), _no_hosts(testbed))
    monitoring = content.monitoring
    if monitoring is not None and monitoring.type != "dstat":
        message = f"{monitoring.type!r} is not run by optiprov. Use dstat, which records into the store."
        source.report(problems, ("monitoring", "type"), message)
    if content.kwollect is not None:
        source.report(problems, ("kwollect",), _not_measured("Grid'5000"))
    if content.monitoring_iotlab is not None:
        source.report(problems, ("monitoring_iotlab",), _not_measured("FIT IoT-LAB"))
    return tuple(sorted(problems.found))


def _no_hosts(testbed: str) -> str:
    return (
        f"hosts of {testbed!r} cannot be had: there is no provider for them. Put its services on local "
        f"hosts: --provider local, or `local: [{testbed}]` in a file providers.yaml of the scenario."
    )


def _not_measured(where: str) -> str:
    return (
        f"the measurements of {where} cannot be had. Remove the key, "
        "or record the load of hosts with `monitoring: {type: dstat}`."
    )
