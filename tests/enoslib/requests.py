"""What deployments ask of providers, in tests."""

from optiprov.deploy.journal import MARKER_VARIABLE, Journal
from optiprov.deploy.providers.base import HostRequest

NAME = "job-0123456789ab"


def begun(directory):
    """A journal whose deployment was begun."""
    journal = Journal(directory / "journal.jsonl")
    journal.write_owner(NAME)
    return journal


def request_of(scenario, directory, journal, **more):
    """What the deployment of a scenario asks for."""
    content = scenario.layers_services
    return HostRequest(
        scenario.input_dirs,
        directory,
        {MARKER_VARIABLE: NAME},
        journal,
        testbeds=content.environment,
        placements=scenario.placements,
        firewall_rules=(*content.environment.firewall_rules, *content.firewall_rules),
        **more,
    )
