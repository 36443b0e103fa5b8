"""`optiprov check`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterable

    from optiprov.deploy.loading import Checked
    from optiprov.deploy.placement import Placement
    from optiprov.deploy.problems import Problem
    from optiprov.deploy.scenario import Scenario

_WRONG_INPUT = 2
_SCHEMAS = ("layers_services", "network", "providers", "workflow", "workflow_env")


def _print_schema(ctx: click.Context, _option: click.Parameter, kind: str | None) -> None:
    if kind is None or ctx.resilient_parsing:
        return
    from optiprov.deploy.json_schema import file_schema

    click.echo(json.dumps(file_schema(kind), indent=2))
    ctx.exit()


@click.command(
    epilog="""\b
Examples:
  optiprov check experiments/digits
  optiprov check my_scenario my_artifacts --provider local
  optiprov check my_scenario --app-conf small,large --format json
  optiprov check --schema workflow > workflow.schema.json"""
)
@click.argument("scenario", type=click.Path(path_type=Path))
@click.argument("artifacts", type=click.Path(path_type=Path), required=False)
@click.option(
    "--app-conf",
    "--app_conf",
    "app_conf",
    metavar="NAME,...",
    help="The sets of workflow_env.yaml with which it will be deployed.",
)
@click.option("--provider", metavar="NAME", help="Put all hosts on this provider, such as local.")
@click.option("--format", "output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option(
    "--schema",
    type=click.Choice(_SCHEMAS),
    callback=_print_schema,
    is_eager=True,
    expose_value=False,
    help="Print the JSON Schema of a file, for editors, and do nothing else.",
)
def command(
    scenario: Path, artifacts: Path | None, app_conf: str | None, provider: str | None, output: str
) -> None:
    """Check the scenario in the directory SCENARIO, with its ARTIFACTS, without deploying it.

    Every problem is printed as file:line: key, what was got, and what to do; the exit status is then 2.
    What is right but cannot be had here, such as hosts of a testbed without a provider, is told too:
    deploying would refuse it. So is what would have no effect.
    """
    from optiprov.deploy import check_scenario

    names = [name.strip() for name in (app_conf or "").split(",") if name.strip()]
    checked = check_scenario(scenario, artifacts, provider=provider, app_confs=names)
    if output == "json":
        click.echo(json.dumps(_as_json(scenario, checked), indent=2, default=str))
    elif checked.scenario is not None:
        _print(scenario, checked.scenario)
    else:
        click.echo("\n".join(str(problem) for problem in checked.problems), err=True)
    if checked.scenario is None:
        raise click.exceptions.Exit(_WRONG_INPUT)


def _print(directory: Path, scenario: Scenario) -> None:
    hosts = len(scenario.placements)
    click.echo(f"{directory}: fine, {hosts} host{'' if hosts == 1 else 's'}.")
    for placement in scenario.placements:
        instead = "" if placement.testbed == placement.environment else f", for {placement.environment}"
        source = scenario.services.get(placement.service)
        by = f", by {source.class_name} of {source.shown(directory)}" if source is not None else ""
        click.echo(f"  {placement.id} on {placement.testbed}{instead}{by}")
    if scenario.obstacles:
        click.echo("Deploying it would be refused:")
        for obstacle in scenario.obstacles:
            click.echo(f"  {obstacle}")
    if scenario.notices:
        click.echo("Deployed, it would lack:")
        for notice in scenario.notices:
            click.echo(f"  {notice}")


def _as_json(directory: Path, checked: Checked) -> dict[str, Any]:
    scenario = checked.scenario
    return {
        "scenario": str(directory),
        "problems": _rows(checked.problems),
        "obstacles": _rows(scenario.obstacles if scenario else ()),
        "notices": _rows(scenario.notices if scenario else ()),
        "hosts": [
            {
                "id": placement.id,
                "environment": placement.environment,
                "testbed": placement.testbed,
                "roles": list(placement.roles),
                "metadata": placement.metadata,
                "deployed_by": _place(scenario, placement),
            }
            for placement in (scenario.placements if scenario else ())
        ],
    }


def _place(scenario: Scenario | None, placement: Placement) -> str | None:
    """Where the class is that deploys a host's service; None without one."""
    source = scenario.services.get(placement.service) if scenario else None
    return source.place if source is not None else None


def _rows(problems: Iterable[Problem]) -> list[dict[str, Any]]:
    return [
        {"file": str(each.path), "line": each.line, "key": each.key, "message": each.message}
        for each in problems
    ]
