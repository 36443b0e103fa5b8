"""`optiprov check`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(
    epilog="""\b
Examples:
  optiprov check experiments/digits
  optiprov check my_scenario my_artifacts"""
)
@click.argument("scenario", type=click.Path(path_type=Path))
@click.argument("artifacts", type=click.Path(path_type=Path), required=False)
def command(scenario: Path, artifacts: Path | None) -> None:
    """Check the scenario in the directory SCENARIO, with its ARTIFACTS, without deploying it.

    Every problem is printed as file:line: key, what was got, and what to do; the exit status is then 2.
    """
    from optiprov.deploy import load_scenario

    checked = load_scenario(scenario, artifacts)
    hosts = len(checked.placements)
    click.echo(f"{scenario}: fine, {hosts} host{'' if hosts == 1 else 's'}.")
    for placement in checked.placements:
        click.echo(f"  {placement.id} on {placement.testbed}")
