"""`optiprov lineage`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from optiprov.cli.tables import FORMATS, json_rows, print_result, tell_what_is_missing

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from optiprov.store import Lineage

_SHOWN = ("depth", "kind", "name", "id", "run_id", "dataflow", "path", "status", "started_at", "ended_at")


@click.command(
    epilog="""\b
Examples:
  optiprov lineage results/model.pt --store results/digits-1
  optiprov lineage 3f2a9c01b7d4e586:42 --direction down --depth 2
  optiprov lineage 8c1e5b7a90d3f246/training/7 --stop-at extraction
  optiprov lineage model.pt --edges --format csv > edges.csv"""
)
@click.argument("start", metavar="ITEM_OR_TASK")
@click.option(
    "--direction",
    type=click.Choice(("up", "down")),
    default="up",
    show_default=True,
    help="Up to what led to it, or down to what came of it.",
)
@click.option("--depth", type=click.IntRange(min=0), help="How many tasks away to go at most.")
@click.option(
    "--stop-at",
    multiple=True,
    metavar="TRANSFORMATION",
    help="End at its tasks: they are listed, what lies behind them is not. May be given several times.",
)
@click.option("--edges", is_flag=True, help="List the edges in place of tasks and items; JSON has all of it.")
@click.option("--store", metavar="URL", envvar="OPTIPROV_STORE", help="A store or a running service.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
def command(
    start: str,
    direction: str,
    depth: int | None,
    stop_at: tuple[str, ...],
    store: str | None,
    form: str,
    *,
    edges: bool,
) -> None:
    """List what led to a data item, a file or a task, or what came of it.

    ITEM_OR_TASK is the id of a data item, the path of a file (for all its versions), or a task, as
    RUN/TRANSFORMATION/TASK, or shorter where no other is named so: TRANSFORMATION/TASK or TASK.

    What tasks used and generated, derivations and dependencies are followed, across runs and dataflows. The
    depth says how many tasks lie between; an edge leads from what was first to what came of it.
    """
    from optiprov.store import connect

    provenance = connect(store)
    lineage = provenance.lineage(start, "down" if direction == "down" else "up", depth, stop_at)
    if form == "json":
        frames = {"tasks": lineage.tasks, "items": lineage.items, "edges": lineage.edges}
        click.echo(json.dumps({name: json_rows(_arrow(frame)) for name, frame in frames.items()}))
    else:
        print_result(_arrow(_edges(lineage) if edges else _nodes(lineage)), form)
    tell_what_is_missing(provenance, store)


def _nodes(lineage: Lineage) -> pd.DataFrame:
    """Return tasks and items in one table, from the start on."""
    import pandas as pd

    tasks = lineage.tasks.assign(kind="task", name=lineage.tasks["transformation"], id=_task_ids(lineage))
    items = lineage.items.assign(kind="item", name=lineage.items["dataset"], id=_item_ids(lineage))
    both = pd.concat([tasks, items]).sort_values("depth", kind="stable")
    nodes: pd.DataFrame = both.reindex(columns=list(_SHOWN))
    return nodes


def _edges(lineage: Lineage) -> pd.DataFrame:
    """Return the edges between what `_nodes` has as ids."""
    import pandas as pd

    tasks = dict(zip(lineage.tasks["task"], _task_ids(lineage), strict=True))
    items = dict(zip(lineage.items["item"], _item_ids(lineage), strict=True))
    ends = {"used": (items, tasks), "generated": (tasks, items), "derivation": (items, items)}
    named = [
        (kind, *(ids[key] for ids, key in zip(ends.get(kind, (tasks, tasks)), keys, strict=True)))
        for kind, *keys in lineage.edges[["kind", "from", "to"]].itertuples(index=False)
    ]
    edges: pd.DataFrame = pd.DataFrame(named, columns=["kind", "from", "to"])
    return edges


def _task_ids(lineage: Lineage) -> pd.Series:
    """Return the tasks as this command takes them; one that is only referred to by its key."""
    tasks = lineage.tasks
    named: pd.Series = tasks["run_id"] + "/" + tasks["transformation"] + "/" + tasks["task_id"]
    return named.fillna(tasks["task"].astype(str))


def _item_ids(lineage: Lineage) -> pd.Series:
    """Return the ids of the items; of one that is only referred to, its key."""
    ids: pd.Series = lineage.items["item_id"]
    return ids.fillna(lineage.items["item"].astype(str))


def _arrow(frame: pd.DataFrame) -> pa.Table:
    import pyarrow as pa

    return pa.Table.from_pandas(frame, preserve_index=False)
