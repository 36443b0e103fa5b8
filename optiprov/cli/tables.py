"""Results as a table, CSV or JSON."""

from __future__ import annotations

import json
import shlex
import sys
from itertools import islice
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from optiprov.cli.cells import cell_text, csv_line
from optiprov.store.plain_values import json_value
from optiprov.store.url import without_password

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from optiprov.store import Provenance

FORMATS = ("table", "csv", "json")
WIDTH = 200
"""How wide a table may be where there is no terminal."""
_MAX_ROWS = 200
_MAX_RECORDS = 20
_UNLIMITED = 1_000_000
_ROWS_AT_ONCE = 10_000


def print_result(rows: pa.Table, form: str) -> None:
    """Print a result in one of FORMATS.

    No value (NULL) is `-` in a table, nothing in CSV, null in JSON; NaN is NaN, in JSON the text "NaN".
    """
    if form == "csv":
        click.echo(csv_line(rows.column_names))
        for lines in _batched(map(csv_line, _rows(rows))):
            click.echo("\n".join(lines))  # at once: echo flushes
    elif form == "json":
        click.echo(json.dumps(json_rows(rows)))
    else:
        print_table(rows)


def json_rows(rows: pa.Table) -> list[dict[str, Any]]:
    """Return rows by the names of their columns, with values that JSON has."""
    names = _told_apart(rows.column_names)
    return [dict(zip(names, map(json_value, row), strict=True)) for row in _rows(rows)]


def print_table(rows: pa.Table) -> None:
    """Print a result for people: a table where it fits, otherwise one record below another.

    Nothing is broken across lines. Columns without a value are left out, and a long result is cut, which the
    last lines say; a record below another shows the values that it has.
    """
    shown = _with_values(rows)
    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
    table = _table(shown)
    needed = table.__rich_measure__(console, console.options.update(max_width=_UNLIMITED)).maximum
    if needed <= console.width:
        console.print(table)
        most = _MAX_ROWS
    else:
        _print_records(shown)
        most = _MAX_RECORDS
    count = len(rows)
    if count > most:
        click.echo(f"({most} of {count} rows; --format csv prints all of them)")
    else:
        click.echo(f"({count} row{'' if count == 1 else 's'})")
    left_out = [name for name in rows.column_names if name not in shown.column_names]
    if left_out:
        click.echo(f"Left out, since no row has a value: {', '.join(left_out)}.")


def tell_what_is_missing(provenance: Provenance, store: str | None) -> None:
    """Say on stderr that the store has refused or missed records, so that no result seems complete."""
    ((rejected, lost),) = provenance.sql(
        "SELECT (SELECT count(*) FROM prov.rejected) AS rejected,"
        " (SELECT coalesce(sum(record_count), 0) FROM prov.lost) AS lost"
    ).to_numpy()
    counts = {"rejected": int(rejected), "lost": int(lost)}
    words = " and ".join(f"{count} {name}" for name, count in counts.items() if count)
    noun = "record" if rejected + lost == 1 else "records"
    if words:
        table = "rejected" if rejected else "lost"
        option = f"--store {shlex.quote(without_password(store))} " if store else ""
        click.echo(
            f"Not in this store: {words} {noun}. See: optiprov sql {option}"
            f'"SELECT * FROM prov.{table}"{" (and prov.lost)" if rejected and lost else ""}',
            err=True,
        )


def _told_apart(names: list[str]) -> list[str]:
    """Number the names that come again: an object of JSON has each once."""
    told: list[str] = []
    for name in names:
        number = 1
        while (numbered := name if number == 1 else f"{name}_{number}") in told:
            number += 1
        told.append(numbered)
    return told


def _with_values(rows: pa.Table) -> pa.Table:
    """Return the columns that have a value in some row; all of them where none has."""
    kept = [place for place, column in enumerate(rows.columns) if column.null_count < len(rows)]
    return rows.select(kept) if kept else rows


def _table(rows: pa.Table) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in rows.schema:
        heading = Text(column.name.replace(".", ".\n", 1))  # a field's group above its name: narrower columns
        table.add_column(heading, justify="right" if _is_number(column.type) else "left", no_wrap=True)
    for row in _rows(rows, _MAX_ROWS):
        table.add_row(*(Text(_on_one_line(cell_text(value))) for value in row))
    return table


def _is_number(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _print_records(rows: pa.Table) -> None:
    for row in _rows(rows, _MAX_RECORDS):
        for name, value in zip(rows.column_names, row, strict=True):
            if value is None:
                continue
            lines = cell_text(value).splitlines() or [""]
            for start, line in zip([f"{name}: ", *["    "] * (len(lines) - 1)], lines, strict=True):
                click.echo(start + _on_one_line(line))
        click.echo()


def _rows(rows: pa.Table, most: int | None = None) -> Iterator[tuple[Any, ...]]:
    """Yield rows as Python has them, some thousands at a time."""
    for batch in rows.slice(0, most).to_batches(max_chunksize=_ROWS_AT_ONCE):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _batched(lines: Iterator[str]) -> Iterator[list[str]]:
    while some := list(islice(lines, _ROWS_AT_ONCE)):
        yield some


def _on_one_line(text: str) -> str:
    """Text without line breaks and control characters, which an application's error message may hold."""
    return "".join(character if character.isprintable() else " " for character in text)
