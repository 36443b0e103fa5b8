"""`optiprov finalize`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from optiprov.cli.verbs import Progress, make_hooks, scenario_argument, show_results

if TYPE_CHECKING:
    from pathlib import Path


@click.command(
    epilog="""\b
Examples:
  optiprov finalize my_scenario
  optiprov finalize my_scenario --destroy"""
)
@scenario_argument
@click.option(
    "--app-conf",
    "--app_conf",
    "app_conf",
    metavar="NAME",
    help="The set of workflow_env.yaml that was launched, in whose folder the output goes.",
)
@click.option("--destroy", "is_destroyed", is_flag=True, help="Remove the hosts afterwards.")
def command(scenario: Path, app_conf: str | None, is_destroyed: bool) -> None:
    """Finalize an experiment: SCENARIO is its directory, or its scenario's.

    Runs the stage finalize, ends all processes of the hosts, has what they emitted stored, writes
    provenance-data/provenance_database.sql, and ends the provenance service. The hosts stay.
    """
    from optiprov.deploy import Experiment

    progress = Progress()
    experiment = Experiment.open(scenario, hooks=make_hooks(progress))
    with progress.step("finalizing", experiment.scenario, "finalize"):
        try:
            experiment.finalize(app_conf)
        finally:
            if is_destroyed:
                experiment.destroy()
    show_results(experiment, app_conf)
