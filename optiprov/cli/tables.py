"""Results as a table, CSV or JSON."""

from __future__ import annotations

import json
import shlex
import sys
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from optiprov.store.url import without_password

if TYPE_CHECKING:
    import pandas as pd

    from optiprov.store import Provenance

FORMATS = ("table", "csv", "json")
WIDTH = 200
"""How wide a table may be where there is no terminal."""
_MAX_ROWS = 200
_MAX_RECORDS = 20
_ABSENT = "-"
_UNLIMITED = 1_000_000
_EXACT_BELOW = 2**53


def print_result(frame: pd.DataFrame, form: str) -> None:
    """Print a result in one of FORMATS."""
    if form == "csv":
        click.echo(frame.to_csv(index=False), nl=False)
    elif form == "json":
        click.echo(json.dumps(json.loads(frame.to_json(orient="table", index=False, date_unit="us"))["data"]))
    else:
        print_table(frame)


def print_table(frame: pd.DataFrame) -> None:
    """Print a result for people: a table where it fits, otherwise one record below another.

    Nothing is broken across lines. Columns without a value are left out, and a long result is cut, which the
    last lines say; a record below another shows the values that it has.
    """
    shown = frame.dropna(axis="columns", how="all") if len(frame) else frame
    if shown.columns.empty:
        shown = frame
    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
    table = _table(shown)
    needed = table.__rich_measure__(console, console.options.update(max_width=_UNLIMITED)).maximum
    if needed <= console.width:
        console.print(table)
        most = _MAX_ROWS
    else:
        _print_records(shown)
        most = _MAX_RECORDS
    rows = len(frame)
    if rows > most:
        click.echo(f"({most} of {rows} rows; --format csv prints all of them)")
    else:
        click.echo(f"({rows} row{'' if rows == 1 else 's'})")
    left_out = [str(name) for name in frame.columns if name not in shown.columns]
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


def _table(frame: pd.DataFrame) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, dtype in zip(frame.columns, frame.dtypes, strict=True):
        heading = Text(str(name).replace(".", ".\n", 1))  # a field's group above its name: narrower columns
        table.add_column(heading, justify="right" if dtype.kind in "iuf" else "left", no_wrap=True)
    for row in _rows(frame, _MAX_ROWS):
        table.add_row(*(Text(_on_one_line(_cell(value))) for value in row))
    return table


def _print_records(frame: pd.DataFrame) -> None:
    for row in _rows(frame, _MAX_RECORDS):
        for name, cell in zip(frame.columns, map(_cell, row), strict=True):
            if cell == _ABSENT:
                continue
            lines = cell.splitlines() or [""]
            for start, line in zip([f"{name}: ", *["    "] * (len(lines) - 1)], lines, strict=True):
                click.echo(start + _on_one_line(line))
        click.echo()


def _rows(frame: pd.DataFrame, most: int) -> list[list[Any]]:
    rows: list[list[Any]] = frame.head(most).astype(object).to_numpy().tolist()
    return rows


def _cell(value: Any) -> str:
    import pandas as pd

    if value is None or (pd.api.types.is_scalar(value) and pd.isna(value)):
        return _ABSENT
    if isinstance(value, float):
        is_whole = value.is_integer() and abs(value) < _EXACT_BELOW
        return str(int(value)) if is_whole else f"{value:.6g}"  # pandas makes floats of integers beside NULLs
    return str(value)


def _on_one_line(text: str) -> str:
    """Text without line breaks and control characters, which an application's error message may hold."""
    return "".join(character if character.isprintable() else " " for character in text)
