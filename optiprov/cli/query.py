"""`optiprov query`."""

from __future__ import annotations

import click

from optiprov.cli.tables import FORMATS, print_result, tell_what_is_missing
from optiprov.errors import QueryError
from optiprov.store.conditions import OPERATORS, read_condition
from optiprov.store.fields import FIELDS
from optiprov.store.query import AGGREGATES

_DIRECTIONS = {"asc": "ascending", "desc": "descending"}
_FIELD_LINES = "\n".join(f"  {group:6} {', '.join(names)}" for group, names in FIELDS.items())
_EPILOG = f"""\b
Fields:
  used.ATTRIBUTE, generated.ATTRIBUTE; with its dataset where several have one
  of that name: used.DATASET.ATTRIBUTE. Further, as GROUP.NAME:
{_FIELD_LINES}

\b
Conditions are FIELD OPERATOR VALUE.
  Operators: {", ".join(OPERATORS.values())}
  A value is a number, true, false, null (there is none) or text; text and
  fields with spaces are quoted; `in` takes a list: "used.opt in (adam, sgd)";
  `like` takes a pattern, in which %% stands for anything: "used.opt like ad%%".

\b
Aggregations: {", ".join(AGGREGATES)}

\b
Examples:
  optiprov query --where "generated.accuracy > 0.9" --select used.kernel_size,generated.accuracy
  optiprov query --agg max:generated.accuracy --group used.kernel_size
  optiprov query --where "task.status = failed" --sort started_at:desc --limit 10 --format json""".replace(
    "%%", "%"
)


@click.command(epilog=_EPILOG)
@click.option("--store", metavar="URL", envvar="OPTIPROV_STORE", help="A store or a running service.")
@click.option(
    "--select",
    metavar="FIELD,...",
    help="Fields to show; by default what the tasks used and generated, as far as a row has a value.",
)
@click.option(
    "--where",
    multiple=True,
    metavar="CONDITION",
    help='Such as "generated.accuracy > 0.9"; give --where several times for conditions that must all hold.',
)
@click.option("--agg", multiple=True, metavar="FUNCTION:FIELD", help=f"{', '.join(AGGREGATES)} of a field.")
@click.option("--group", metavar="FIELD,...", help="Fields that make the groups of --agg.")
@click.option("--sort", multiple=True, metavar="FIELD[:asc|desc]", help="What to order by.")
@click.option("--limit", type=click.IntRange(min=0), help="The most rows shown.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
def command(
    store: str | None,
    select: str | None,
    where: tuple[str, ...],
    agg: tuple[str, ...],
    group: str | None,
    sort: tuple[str, ...],
    limit: int | None,
    form: str,
) -> None:
    """Query tasks by what they used and generated.

    A row is a task with the data items that it used and generated. An unknown field is an error that lists
    those that the store has.
    """
    from optiprov.store import connect

    shown = [name.strip() for name in (group or select or "").split(",") if name.strip()]
    aggregation = [_pair(text, "--agg", "FUNCTION:FIELD") for text in agg]
    if aggregation and not shown:
        shown = [name for _, name in aggregation]
    order = [_sort(text) for text in sort]
    condition = {"$and": [read_condition(text) for text in where]} if where else None
    provenance = connect(store)
    print_result(provenance.answer(shown or None, condition, aggregation or None, order or None, limit), form)
    tell_what_is_missing(provenance, store)


def _pair(text: str, option: str, form: str) -> tuple[str, str]:
    first, separator, second = text.partition(":")
    if not separator:
        raise QueryError(f"{option} {text!r}: write {form}.")
    return first.strip(), second.strip()


def _sort(text: str) -> tuple[str, str]:
    name, _, direction = text.partition(":")
    return name.strip(), _DIRECTIONS.get(direction.strip() or "asc", direction.strip())
