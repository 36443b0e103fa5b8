"""`optiprov network`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from optiprov.cli.verbs import scenario_argument, show_networks

if TYPE_CHECKING:
    from pathlib import Path


@click.command(
    epilog="""\b
Examples:
  optiprov network my_scenario"""
)
@scenario_argument
def command(scenario: Path) -> None:
    """Check network.yaml of an experiment: SCENARIO is its directory, or its scenario's.

    Networks of local hosts are not emulated yet: the command says so where there are rules.
    """
    from optiprov.deploy import Experiment

    experiment = Experiment.open(scenario)
    if experiment.scenario.networks:
        show_networks(experiment.scenario)
    else:
        click.echo(f"{experiment.scenario.directory}: no rules in network.yaml, no network is emulated.")
