"""What a study found, where it lies, and what to do next, for the terminal."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from optiprov.cli.tables import print_table

if TYPE_CHECKING:
    from optiprov.optimize.results import StudyResult


def print_summary(result: StudyResult) -> None:
    """Print the best configuration, the answers to the study's questions, its files, and commands to try."""
    import pyarrow as pa

    program = _program()
    if result.best is not None:
        config = ", ".join(f"{name}={value}" for name, value in result.best.config.items())
        click.echo(
            f"\nBest: {result.metric} = {result.best.value:.6g} with {config} (trial {result.best.trial_id})"
        )
    for answer in result.answers:
        click.echo(f"\n{answer.question}\n  $ {program}{answer.command.removeprefix('optiprov')}\n")
        print_table(pa.Table.from_pandas(answer.table, preserve_index=False))
    _print_files(result)
    store = f"--store {shlex.quote(result.store_name)}"
    click.echo("\nNext, try:")
    click.echo(
        f'  {program} sql {store} "SELECT trial_id, status, value, config FROM prov.trial ORDER BY value"'
    )
    click.echo(
        f"  {program} query {store} --agg avg:task.duration_s --agg count:task_id --group transformation"
    )
    click.echo(f"  {program} sql {store} --tables")


def _print_files(result: StudyResult) -> None:
    statuses = result.trials["status"].value_counts()
    counts = ", ".join(f"{count} {status}" for status, count in statuses.items())
    directory = _relative(result.directory)
    files = {
        f"{directory}/trials.csv": "the trials",
        f"{directory}/convergence.png": "the course of the search",
        f"{directory}/scatter_*.png": f"each parameter against {result.metric}",
        f"{directory}/trials/": "a folder for each trial: scenario, configuration, logs, outcome",
        result.store_name: "the provenance",
    }
    width = max(map(len, files))
    click.echo(f"\nResults of {len(result.trials)} trials ({counts}):")
    for path, meaning in files.items():
        click.echo(f"  {path:{width}}  {meaning}")


def _program() -> str:
    """Return how to call this command from here: its name where it is on the PATH, otherwise its path."""
    return (
        "optiprov" if shutil.which("optiprov") else str(_relative(Path(sys.executable).parent / "optiprov"))
    )


def _relative(path: Path) -> Path:
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path
