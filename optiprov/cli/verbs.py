"""What the commands that deploy have in common: arguments, options, what is shown, and the dump."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from optiprov.deploy.scenario import DISPENSABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from optiprov.deploy import Experiment, Hooks, Scenario
    from optiprov.deploy.workflow import Stage

_Command = TypeVar("_Command", bound="Callable[..., Any]")

_DIRECTORY = click.Path(path_type=Path)


def names(_context: click.Context, _parameter: click.Parameter, text: str | None) -> tuple[str, ...]:
    """Read names separated by commas."""
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def _dispensable(context: click.Context, parameter: click.Parameter, text: str | None) -> tuple[str, ...]:
    given = names(context, parameter, text)
    for name in given:
        if name not in DISPENSABLE:
            raise click.BadParameter(f"got {name!r}. Allowed: {', '.join(DISPENSABLE)}.")
    return given


def scenario_argument(command: _Command) -> _Command:
    """Add the argument SCENARIO."""
    return click.argument("scenario", type=_DIRECTORY)(command)


def artifacts_argument(command: _Command) -> _Command:
    """Add the argument ARTIFACTS."""
    return click.argument("artifacts", type=_DIRECTORY, required=False)(command)


def app_conf_option(command: _Command) -> _Command:
    """Add the option --app-conf, in E2Clab's spelling too."""
    return click.option(
        "--app-conf",
        "--app_conf",
        "app_confs",
        metavar="NAME,...",
        callback=names,
        help="Sets of workflow_env.yaml, one after the other.",
    )(command)


def deploy_options(command: _Command) -> _Command:
    """Add the options of commands that make an experiment."""
    options = (
        click.option(
            "--provider",
            metavar="NAME",
            help="Whose hosts all services get, whatever testbed they name: local is this machine. By "
            "default what providers.yaml of the scenario says, or the testbeds themselves.",
        ),
        click.option(
            "--without",
            metavar="KEY,...",
            callback=_dispensable,
            help=f"Deploy without what cannot be had here: {', '.join(DISPENSABLE)}.",
        ),
        click.option(
            "--store",
            metavar="URL",
            envvar="OPTIPROV_STORE",
            help="A store or a running service for the provenance; by default OPTIPROV_STORE, else a file of "
            "the experiment's own. The dump of a shared one has all that is in it.",
        ),
        click.option(
            "--output",
            type=click.Path(file_okay=False, path_type=Path),
            help="Where the experiment's directory is made; by default in SCENARIO.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def make_hooks(progress: Progress) -> Hooks:
    """Have plays shown, and dumps written."""
    from optiprov.deploy import Hooks

    return Hooks(on_play=lambda _stage: progress.advance(), dump=_dump)


def _dump(store: str, path: Path) -> None:
    from optiprov.export import write_sql_dump
    from optiprov.store import connect

    write_sql_dump(connect(store), path)


class Progress:
    """Shows which step runs and how many of its plays have ended, on a terminal.

    Args:
        has_lines: Whether each step is told by a line where there is no terminal.
    """

    def __init__(self, *, has_lines: bool = False) -> None:
        self._has_lines = has_lines
        self._shown: Any = None
        self._task: Any = None

    @contextmanager
    def step(self, what: str, scenario: Scenario | None = None, stage: Stage = "launch") -> Iterator[None]:
        """Show a step until it has ended.

        Args:
            what: What is done.
            scenario: Whose plays it runs.
            stage: Of which stage.
        """
        if not sys.stderr.isatty():
            if self._has_lines:
                click.echo(f"{what} ...", err=True)
            yield
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        plays = sum(bool(play.tasks[stage]) for play in scenario.plays) if scenario else 0
        columns = [SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()]
        if plays:
            columns[2:2] = [BarColumn(), MofNCompleteColumn(), TextColumn("plays")]
        with Bars(*columns, console=Console(stderr=True), transient=True) as self._shown:
            self._task = self._shown.add_task(what, total=plays or None)
            yield
        self._shown = None

    def advance(self) -> None:
        """Show that one more play has ended; tasks in the background may end after theirs."""
        if self._shown is not None:
            (shown,) = self._shown.tasks
            if shown.total is None or shown.completed < shown.total:
                self._shown.advance(self._task)


def show_experiment(experiment: Experiment) -> None:
    """Say where an experiment is, and its provenance service."""
    hosts = len(experiment.scenario.placements)
    click.echo(f"{experiment.directory}: {hosts} host{'' if hosts == 1 else 's'}.")
    if experiment.addresses:
        click.echo(f"  provenance service: {experiment.addresses['http']}")


def show_results(experiment: Experiment, *app_confs: str | None) -> None:
    """Say where the results of an experiment lie."""
    click.echo(f"{experiment.directory}")
    for app_conf in app_confs or (None,):
        output = experiment.directory / app_conf if app_conf else experiment.directory
        for name in ("fetched", "logs", "provenance-data"):
            if (output / name).is_dir():
                click.echo(f"  {output.name + '/' if app_conf else ''}{name}/")
    if experiment.addresses:
        click.echo(f"  query it: optiprov query --store {experiment.store}")
    if experiment.has_hosts:
        click.echo(f"  its hosts stay; remove them: optiprov destroy {experiment.directory}")
