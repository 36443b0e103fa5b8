"""Scenarios deployed on hosts: read, placed, run stage by stage, and undone from a journal.

A scenario is a directory with E2Clab's files (layers_services.yaml, network.yaml, workflow.yaml,
workflow_env.yaml). `load_scenario` reads and checks it, a `Deployment` runs its stages on the hosts
of a provider, an `Experiment` is one that several commands work on in turn, a `Supervisor` ends the
processes of an owner that died, and `reap_abandoned` finds what earlier owners left behind. A `Visit`
enters the hosts of an experiment while others work on it.
`isolation_note` tells what local hosts share on this machine.

Each name is imported on its first use: checking a scenario needs nothing of what deploys it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optiprov.deploy.deployment import Deployment
    from optiprov.deploy.experiment import Experiment, Hooks
    from optiprov.deploy.experiment_state import find_standing
    from optiprov.deploy.loading import check_deployable, check_scenario, load_scenario
    from optiprov.deploy.providers.isolation import isolation_note, probe_ahead
    from optiprov.deploy.reaping import reap_abandoned
    from optiprov.deploy.scenario import Scenario
    from optiprov.deploy.supervisor import Supervisor
    from optiprov.deploy.visiting import Visit

_HOMES = {
    "Deployment": "optiprov.deploy.deployment",
    "Experiment": "optiprov.deploy.experiment",
    "Hooks": "optiprov.deploy.experiment",
    "Scenario": "optiprov.deploy.scenario",
    "Supervisor": "optiprov.deploy.supervisor",
    "Visit": "optiprov.deploy.visiting",
    "check_deployable": "optiprov.deploy.loading",
    "check_scenario": "optiprov.deploy.loading",
    "find_standing": "optiprov.deploy.experiment_state",
    "isolation_note": "optiprov.deploy.providers.isolation",
    "probe_ahead": "optiprov.deploy.providers.isolation",
    "load_scenario": "optiprov.deploy.loading",
    "reap_abandoned": "optiprov.deploy.reaping",
}

__all__ = [
    "Deployment",
    "Experiment",
    "Hooks",
    "Scenario",
    "Supervisor",
    "Visit",
    "check_deployable",
    "check_scenario",
    "find_standing",
    "isolation_note",
    "load_scenario",
    "probe_ahead",
    "reap_abandoned",
]


def __getattr__(name: str) -> Any:
    """Import a public name on its first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(
            f"module 'optiprov.deploy' has no attribute {name!r}; it has {', '.join(__all__)}"
        )
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
