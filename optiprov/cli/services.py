"""`optiprov services`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from optiprov.errors import ScenarioError

if TYPE_CHECKING:
    from optiprov.deploy.services.sources import ServiceSource

_DIRECTORY = click.Path(path_type=Path)


@click.group(
    epilog="""\b
Examples:
  optiprov services list my_scenario
  optiprov services add Flink.py
  optiprov services remove Flink"""
)
def command() -> None:
    """Show, add and remove the classes that deploy services.

    A service of layers_services.yaml is deployed by the class of its name: one in the artifacts of the
    scenario, one that was added, one that an installed package brings (entry points of the group
    optiprov.services), or one of ours, in this order. A service without a class is its hosts, as they are.
    """


@command.command(
    "list",
    epilog="""\b
Examples:
  optiprov services list
  optiprov services list my_scenario my_artifacts --format json""",
)
@click.argument("scenario", type=_DIRECTORY, required=False)
@click.argument("artifacts", type=_DIRECTORY, required=False)
@click.option("--format", "output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def list_(scenario: Path | None, artifacts: Path | None, output: str) -> None:
    """List the classes that there are, those of SCENARIO or its ARTIFACTS too, and where each comes from."""
    sources = _sources(scenario, artifacts)
    if output == "json":
        rows = [
            {"name": one.name, "origin": one.origin, "place": one.place, "about": one.about}
            for one in sources
        ]
        click.echo(json.dumps(rows, indent=2))
        return
    width = max(len(one.name) for one in sources)
    for one in sources:
        about = f"  {one.about}" if one.about else ""
        click.echo(f"{one.name:{width}}  {one.origin:9}  {one.place}{about}")


@command.command(
    epilog="\b\nExamples:\n  optiprov services add Flink.py\n  optiprov services add Flink.py --replace"
)
@click.argument("file", type=_DIRECTORY)
@click.option("--replace", "is_replaced", is_flag=True, help="Take the place of what was added before.")
def add(file: Path, *, is_replaced: bool) -> None:
    """Copy FILE, which has a class of a service, to where all scenarios find it.

    It is checked first, without running it. The place is $XDG_DATA_HOME/optiprov/services, by default
    ~/.local/share/optiprov/services.
    """
    from optiprov.deploy.services.added import add_file
    from optiprov.deploy.services.sources import added_directory

    sources, has_changed = add_file(file, is_replaced=is_replaced)
    names = ", ".join(source.class_name for source in sources)
    place = added_directory() / file.name
    click.echo(f"{names}: {place}" if has_changed else f"{names}: is there already: {place}")


@command.command(epilog="\b\nExample:\n  optiprov services remove Flink")
@click.argument("name")
def remove(name: str) -> None:
    """Remove the file that was added for the class NAME."""
    from optiprov.deploy.services.added import remove_added
    from optiprov.deploy.services.sources import added_directory, installed_sources, shipped_sources

    removed = remove_added(name)
    if removed is not None:
        click.echo(f"{name}: removed {removed}")
    elif name in shipped_sources() or name in installed_sources():
        raise ScenarioError(
            f"{name}: was not added; it comes with a package. Have a class of this name in the artifacts of "
            "a scenario, or add one: it goes before."
        )
    else:
        click.echo(f"{name}: nothing of this name was added to {added_directory()}.")


def _sources(scenario: Path | None, artifacts: Path | None) -> list[ServiceSource]:
    from optiprov.deploy.loading import artifacts_of
    from optiprov.deploy.services.added import added_sources
    from optiprov.deploy.services.sources import (
        SCENARIO,
        installed_sources,
        service_files,
        shipped_sources,
        sources_in,
    )

    own = []
    for place in filter(None, (scenario, artifacts)):
        if not place.is_dir():
            raise ScenarioError(
                f"{place}: is not a directory. Give that of a scenario, and of its artifacts."
            )
    if scenario is not None:
        own = sources_in(service_files(artifacts_of(scenario, artifacts)), SCENARIO)
    return [*own, *added_sources(), *installed_sources().values(), *shipped_sources().values()]
