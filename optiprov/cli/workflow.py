"""`optiprov workflow`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from optiprov.cli.verbs import Progress, app_conf_option, make_hooks, scenario_argument

if TYPE_CHECKING:
    from pathlib import Path

    from optiprov.deploy import Experiment
    from optiprov.deploy.workflow import Stage

STAGES = ("prepare", "launch", "finalize")


@click.command(
    epilog="""\b
Examples:
  optiprov workflow my_scenario prepare
  optiprov workflow my_scenario launch
  optiprov workflow my_scenario launch --app-conf small,large --finalize"""
)
@scenario_argument
@click.argument("stage", type=click.Choice(STAGES, case_sensitive=False))
@app_conf_option
@click.option("--finalize", "is_finalized", is_flag=True, help="Run `optiprov finalize` after each launch.")
@click.option(
    "--duration",
    "duration_s",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="SECONDS",
    help="How long an application without an end of its own is launched for.",
)
def command(
    scenario: Path, stage: Stage, app_confs: tuple[str, ...], is_finalized: bool, duration_s: float
) -> None:
    """Run one STAGE of an experiment: SCENARIO is its directory, or its scenario's.

    The launch has ended when its foreground tasks have, and those with a time limit. What it started in the
    background goes on until `optiprov finalize` or `optiprov destroy`.
    """
    from optiprov.deploy import Experiment

    if stage == "prepare" and app_confs:
        raise click.UsageError("--app-conf is for launch and finalize: prepare is done once for all sets.")
    if stage != "launch" and (is_finalized or duration_s):
        raise click.UsageError("--finalize and --duration are for launch.")
    progress = Progress()
    experiment = Experiment.open(scenario, hooks=make_hooks(progress))
    for app_conf in app_confs or (None,):
        _run(experiment, stage, app_conf, duration_s, progress)
        if is_finalized:
            with progress.step("finalizing", experiment.scenario, "finalize"):
                experiment.finalize(app_conf)
    click.echo(f"{experiment.directory}: {stage} done.")


def _run(
    experiment: Experiment, stage: Stage, app_conf: str | None, duration_s: float, progress: Progress
) -> None:
    shown = f"{stage} ({app_conf})" if app_conf else stage
    with progress.step(shown, experiment.scenario, stage):
        if stage == "prepare":
            experiment.prepare()
        elif stage == "launch":
            experiment.launch(app_conf, duration_s=duration_s)
        else:
            experiment.workflow_finalize(app_conf)
