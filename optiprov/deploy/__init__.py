"""Scenarios deployed on hosts: read, placed, run stage by stage, and undone from a journal.

A scenario is a directory with E2Clab's files (layers_services.yaml, network.yaml, workflow.yaml,
workflow_env.yaml). `load_scenario` reads and checks it, a `Deployment` runs its stages on the hosts
of a provider, an `Experiment` is one that several commands work on in turn, a `Supervisor` ends the
processes of an owner that died, and `reap_abandoned` finds what earlier owners left behind.
`isolation_note` tells what local hosts share on this machine.
"""

from optiprov.deploy.deployment import Deployment
from optiprov.deploy.experiment import Experiment, Hooks, check_deployable
from optiprov.deploy.providers.isolation import isolation_note
from optiprov.deploy.reaping import reap_abandoned
from optiprov.deploy.scenario import Scenario, load_scenario
from optiprov.deploy.supervisor import Supervisor

__all__ = [
    "Deployment",
    "Experiment",
    "Hooks",
    "Scenario",
    "Supervisor",
    "check_deployable",
    "isolation_note",
    "load_scenario",
    "reap_abandoned",
]
