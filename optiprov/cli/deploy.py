"""`optiprov deploy`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from optiprov.cli.verbs import (
    Progress,
    app_conf_option,
    artifacts_argument,
    deploy_options,
    make_hooks,
    names,
    scenario_argument,
    show_results,
)

if TYPE_CHECKING:
    from pathlib import Path

    from optiprov.deploy import Experiment


@click.command(
    epilog="""\b
Examples:
  optiprov deploy my_scenario my_artifacts
  optiprov deploy my_scenario my_artifacts --provider local --destroy
  optiprov deploy my_scenario --repeat 2 --duration 60
  optiprov deploy my_scenario --app-conf small,large
  optiprov deploy all_scenarios my_artifacts --scenarios-name first,second"""
)
@scenario_argument
@artifacts_argument
@click.option(
    "--repeat",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="How many times the experiment is repeated: 2 makes three of them.",
)
@click.option(
    "--duration",
    "duration_s",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="SECONDS",
    help="How long an application without an end of its own is launched for.",
)
@app_conf_option
@click.option(
    "--scenarios-name",
    "--scenarios_name",
    "scenarios",
    metavar="NAME,...",
    callback=names,
    help="Scenarios in SCENARIO, deployed one after the other.",
)
@click.option("--destroy", "is_destroyed", is_flag=True, help="Remove the hosts when all is done.")
@click.option(
    "--destroy-on-fail", "is_destroyed_on_failure", is_flag=True, help="Remove the hosts where it failed."
)
@click.option("--pause", "-p", "is_paused", is_flag=True, help="Wait for Enter before finalizing.")
@deploy_options
def command(
    scenario: Path,
    artifacts: Path | None,
    repeat: int,
    duration_s: float,
    app_confs: tuple[str, ...],
    scenarios: tuple[str, ...],
    is_destroyed: bool,
    is_destroyed_on_failure: bool,
    is_paused: bool,
    provider: str | None,
    without: tuple[str, ...],
    store: str | None,
    output: Path | None,
) -> None:
    """Deploy the scenario in the directory SCENARIO, with its ARTIFACTS, from the hosts to the results.

    Does what layers-services, network, workflow prepare, workflow launch and finalize do, in turn; with sets
    of workflow_env.yaml, the last two for each. Each repetition is an experiment in a directory of its own,
    SCENARIO/YYYYmmdd-HHMMSS. Whatever fails, results are fetched and all processes end; what would have come
    after is not begun. Should the command be killed, its processes end within 10 seconds.
    """
    from optiprov.deploy import probe_ahead

    probe_ahead()  # before the imports, which take longer
    from optiprov.deploy import Experiment, check_deployable

    directories = [scenario / name for name in scenarios] or [scenario]
    loaded = check_deployable(directories, artifacts, provider=provider, without=without, app_confs=app_confs)
    progress = Progress(has_lines=True)
    for directory, one in zip(directories, loaded, strict=True):
        for number in range(1, repeat + 2):
            experiment = Experiment.create(
                directory,
                artifacts,
                provider=provider,
                store=store,
                without=without,
                output=output,
                repeat=number,
                hooks=make_hooks(progress),
                loaded=one,
            )
            with experiment.whole("deploy"):
                try:
                    _run(experiment, app_confs or (None,), duration_s, progress, is_paused=is_paused)
                except BaseException:
                    if is_destroyed or is_destroyed_on_failure:
                        experiment.destroy_after_failure()
                    show_results(experiment, *app_confs)
                    raise
                if is_destroyed:
                    experiment.destroy()
            show_results(experiment, *app_confs)


def _run(
    experiment: Experiment,
    app_confs: tuple[str | None, ...],
    duration_s: float,
    progress: Progress,
    *,
    is_paused: bool,
) -> None:
    """Deploy, and launch and finalize with each set; finalize whatever fails."""
    count = len(experiment.scenario.placements)
    with progress.step(f"deploying {count} host{'' if count == 1 else 's'} in {experiment.directory}"):
        experiment.layers_services()
    for app_conf in app_confs:
        shown = f" ({app_conf})" if app_conf else ""
        try:
            if app_conf == app_confs[0]:
                with progress.step("prepare", experiment.scenario, "prepare"):
                    experiment.prepare()
            with progress.step(f"launch{shown}", experiment.scenario, "launch"):
                experiment.launch(app_conf, duration_s=duration_s)
            if is_paused:
                _pause(experiment)
        except BaseException:
            with progress.step(f"finalize{shown} all the same", experiment.scenario, "finalize"):
                experiment.finalize_after_failure(app_conf)
            raise
        with progress.step(f"finalize{shown}", experiment.scenario, "finalize"):
            experiment.finalize(app_conf, is_last=app_conf == app_confs[-1])


def _pause(experiment: Experiment) -> None:
    click.echo(f"{experiment.directory}: launched. Press Enter to finalize.", err=True)
    sys.stdin.readline()
