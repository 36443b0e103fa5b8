"""`optiprov destroy`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from optiprov.cli.verbs import Progress, scenario_argument

if TYPE_CHECKING:
    from pathlib import Path


@click.command(
    epilog="""\b
Examples:
  optiprov destroy my_scenario
  optiprov destroy my_scenario/20260131-190000"""
)
@scenario_argument
def command(scenario: Path) -> None:
    """Destroy an experiment: SCENARIO is its directory, or its scenario's.

    Ends all processes of the hosts and the provenance service, and removes the hosts. What was fetched, logs
    and provenance stay.
    """
    from optiprov.deploy import Experiment

    with Progress().step("destroying"):
        directory = Experiment.destroy_at(scenario)
    click.echo(f"{directory}: destroyed; results, logs and provenance stay there.")
