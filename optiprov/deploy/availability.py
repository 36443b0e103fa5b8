"""What a scenario asks for and cannot be had here: it is read and checked, and deploying refuses it.

What it asks for that has no effect here, and does no harm without, is a notice instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optiprov.deploy.problems import Problems
from optiprov.deploy.providers import NO_MACHINE, PROVIDERS, RESERVED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from optiprov.deploy.models import LayersServices
    from optiprov.deploy.placement import Placement
    from optiprov.deploy.problems import Problem
    from optiprov.deploy.yaml_source import YamlSource

LOCAL, STATIC = "local", "static"
MIN_HOSTS = 2
_NO_MACHINES = (
    "the provenance service runs on this machine, which is the only one of 'local'. Remove the key, or have "
    "it left aside: --provider local."
)


def obstacles(
    source: YamlSource,
    content: LayersServices,
    placements: Sequence[Placement],
    provider: Callable[[str], str],
    *,
    is_chosen: bool,
) -> tuple[Problem, ...]:
    """What stops a scenario from being deployed, each with where it is asked for and a way on.

    Args:
        source: The file layers_services.yaml.
        content: What it says.
        placements: The hosts that it asks for.
        provider: Whose hosts a testbed's services get.
        is_chosen: Whether one provider was chosen for all of them.
    """
    problems = Problems()
    placements = list(placements)
    lacking = dict.fromkeys(one.testbed for one in placements if one.testbed not in PROVIDERS)
    for testbed in lacking:
        source.report(problems, ("environment", testbed), _no_hosts(testbed))
    if not (content.environment.static and content.environment.static.hosts):
        homeless = [one for one in placements if one.testbed == STATIC and one.server is None]
        for asked in dict.fromkeys(one.environment for one in homeless):
            source.report(problems, ("environment", asked), NO_MACHINE.format(host=homeless[0].id))
    if content.provenance is not None and not is_chosen:
        first = content.environment.testbeds[0]
        asked = content.provenance.provider or first
        is_elsewhere = provider(asked) not in PROVIDERS or provider(asked) in RESERVED
        if is_elsewhere and asked not in lacking:
            source.report(problems, ("provenance", "provider"), _no_service(asked))
        elif provider(asked) == asked == LOCAL:
            for key in ("cluster", "servers"):
                if getattr(content.provenance, key):
                    source.report(problems, ("provenance", key), _NO_MACHINES)
    monitoring = content.monitoring
    if monitoring is not None and monitoring.type != "dstat":
        message = (
            f"{monitoring.type!r} is not run by optiprov. Use dstat, which records into the store, or deploy "
            "without it: --without monitoring."
        )
        source.report(problems, ("monitoring", "type"), message)
    if content.kwollect is not None:
        source.report(problems, ("kwollect",), _not_measured("Grid'5000", "kwollect"))
    if content.monitoring_iotlab is not None:
        source.report(problems, ("monitoring_iotlab",), _not_measured("FIT IoT-LAB", "monitoring_iotlab"))
    return tuple(sorted(problems.found))


def monitoring_notices(source: YamlSource, content: LayersServices) -> tuple[Problem, ...]:
    """What is read of `monitoring` and has no effect."""
    monitoring, problems = content.monitoring, Problems()
    if monitoring is not None and monitoring.type == "dstat":
        if monitoring.options is not None:
            message = (
                "has no effect: CPU, memory, disk and network are recorded each second, whatever options of "
                "dstat choose."
            )
            source.report(problems, ("monitoring", "options"), message)
        for key in ("provider", "cluster", "servers", "network", "agent_conf", "ipv"):
            if getattr(monitoring, key):
                message = "has no effect with dstat, which has no database of its own."
                source.report(problems, ("monitoring", key), message)
    return problems.in_order()


def network_notices(
    source: YamlSource, content: LayersServices, placements: Iterable[Placement]
) -> tuple[Problem, ...]:
    """That rules of network.yaml have no effect between local hosts, where these have no addresses."""
    if sum(one.testbed == LOCAL for one in placements) < MIN_HOSTS:
        return ()
    from optiprov.deploy.network.host_network import GOING_ON_WITHOUT, network_obstacle  # few have rules

    local, problems = content.environment.local, Problems()
    shared = "rules have no effect between hosts of the testbed local, which share the address 127.0.0.1"
    if local is not None and local.isolation == "files":
        source.report(problems, ("networks",), f"{shared}, as `isolation: files` has it. Remove that key.")
    elif obstacle := network_obstacle():
        source.report(problems, ("networks",), f"{shared}: {obstacle}. {GOING_ON_WITHOUT}")
    return problems.in_order()


def _no_hosts(testbed: str) -> str:
    return (
        f"hosts of {testbed!r} cannot be had: there is no provider for them. Put its services on local "
        f"hosts: --provider local, or `local: [{testbed}]` in a file providers.yaml of the scenario."
    )


def _no_service(testbed: str) -> str:
    return (
        f"the provenance service cannot be had on {testbed!r}: it runs on this machine. Have it there: "
        "`provider: local`, which hosts elsewhere reach through their connections, or the whole scenario on "
        "this machine (--provider local), or remove the key."
    )


def _not_measured(where: str, key: str) -> str:
    return (
        f"the measurements of {where} cannot be had. Deploy without them: --without {key}. "
        "`monitoring: {type: dstat}` records the load of hosts."
    )
