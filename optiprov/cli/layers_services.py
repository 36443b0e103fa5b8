"""`optiprov layers-services`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from optiprov.cli.verbs import (
    Progress,
    artifacts_argument,
    deploy_options,
    make_hooks,
    scenario_argument,
    show_experiment,
)

if TYPE_CHECKING:
    from pathlib import Path


@click.command(
    "layers-services",
    epilog="""\b
Examples:
  optiprov layers-services my_scenario my_artifacts
  optiprov layers-services my_scenario --provider local""",
)
@scenario_argument
@artifacts_argument
@deploy_options
def command(
    scenario: Path,
    artifacts: Path | None,
    provider: str | None,
    without: tuple[str, ...],
    store: str | None,
    output: Path | None,
) -> None:
    """Deploy the hosts of the scenario in the directory SCENARIO, with its ARTIFACTS, and its services.

    Makes an experiment: a directory SCENARIO/YYYYmmdd-HHMMSS, which holds layers_services-validate.yaml and
    takes all output. The commands network, workflow, finalize and destroy work on it; they take SCENARIO,
    whose newest experiment it then is, or its directory. Where deploying was cut off, it goes on there, with
    the options with which it was begun; others are refused.
    """
    from optiprov.deploy import probe_ahead

    probe_ahead()  # before the imports, which take longer
    from optiprov.deploy import Experiment, find_standing

    progress = Progress()
    options: dict[str, Any] = {
        "provider": provider,
        "store": store,
        "without": without,
        "output": output,
        "hooks": make_hooks(progress),
    }
    experiment = Experiment.unfinished(scenario, artifacts, **options)
    if experiment is None:
        experiment = Experiment.create(scenario, artifacts, **options)
    for other in find_standing(output or scenario):
        if other.resolve() != experiment.directory.resolve():
            click.echo(
                f"{other}: another experiment stands still. optiprov destroy {other} ends it.", err=True
            )
    with progress.step(f"deploying {len(experiment.scenario.placements)} hosts"):
        experiment.layers_services()
    show_experiment(experiment)
