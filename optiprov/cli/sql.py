"""`optiprov sql`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from optiprov.cli.tables import FORMATS, print_result, tell_what_is_missing

if TYPE_CHECKING:
    import pyarrow as pa

    from optiprov.store import Provenance

_SHOWN_TABLES = (  # as docs/provenance.md has them, without what only the views below them are made of
    *("run", "task", "study", "trial", "trial_report", "used", "generated", "dependency", "item"),
    *("derivation", "file", "annotation", "dataflow", "transformation", "transformation_dataset"),
    *("program", "dataset", "dataset_attribute", "run_environment", "environment", "environment_package"),
    *("environment_variable", "task_usage", "telemetry", "rejected", "lost", "client"),
)
_PLAIN_NAME = re.compile(r"[^\W\d]\w*", re.ASCII)
_COLUMNS = """
    SELECT "schema", "view", "column", type FROM prov.listing WHERE "schema" NOT IN ('dataset', 'main')
    ORDER BY "schema", "view", position"""


@click.command(
    epilog="""\b
Examples:
  optiprov sql --store results/digits-1/provenance.duckdb --tables
  optiprov sql "SELECT * FROM training_input JOIN training_output USING (training_task_id)"
  optiprov sql --format csv "SELECT * FROM prov.trial" > trials.csv"""
)
@click.argument("text", metavar="SELECT...", required=False)
@click.option("--store", metavar="URL", envvar="OPTIPROV_STORE", help="A store or a running service.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
@click.option(
    "--tables",
    is_flag=True,
    help="List what can be selected from: a line for each view or table with its columns; in CSV and JSON a "
    "row for each column, with its type.",
)
def command(text: str | None, store: str | None, form: str, *, tables: bool) -> None:
    """Run one read-only SQL query on a provenance store.

    Each dataset is a view of its name, also as DATAFLOW.NAME; its column TRANSFORMATION_task_id joins it with
    the others of a task. Runs, tasks, studies and trials are prov.run, prov.task, prov.study and prov.trial.
    """
    from optiprov.store import connect

    if tables == (text is not None):
        raise click.UsageError("Give one SELECT, or --tables.")
    provenance = connect(store)
    if text is not None:
        print_result(provenance.fetch(text), form)
    elif form == "table":
        _print_tables(_tables(provenance))
    else:
        print_result(_tables(provenance), form)
    tell_what_is_missing(provenance, store)


def _tables(provenance: Provenance) -> pa.Table:
    """List the datasets' views with their columns, then the tables and views of `prov` that users need."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found = provenance.fetch(_COLUMNS)
    is_ours = pc.equal(found["schema"], "prov")
    ours = found.filter(is_ours)
    parts = [ours.filter(pc.equal(ours["view"], view)) for view in _SHOWN_TABLES]
    return pa.concat_tables([found.filter(pc.invert(is_ours)), *parts])


def _print_tables(listed: pa.Table) -> None:
    """Print a line for each view or table: its name as a query has it, and its columns in order."""
    columns: dict[tuple[str, str], list[str]] = {}
    for row in listed.to_pylist():
        columns.setdefault((row["schema"], row["view"]), []).append(_quoted(row["column"]))
    names = {key: ".".join(map(_quoted, key)) for key in columns}
    width = max(map(len, names.values()), default=0)
    for key, listed_columns in columns.items():
        click.echo(f"{names[key]:{width}}  {', '.join(listed_columns)}")


def _quoted(name: str) -> str:
    """A name, in quotes where it has more than the letters, digits and underscores of a plain one."""
    return name if _PLAIN_NAME.fullmatch(name) else '"' + name.replace('"', '""') + '"'
