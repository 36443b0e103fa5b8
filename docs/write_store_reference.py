"""Writes the tables of the store into docs/provenance.md, from the schema that the store makes."""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from optiprov.store.duckdb import DuckDBBackend
from optiprov.store.schema import TABLES, VIEWS, migrate

TARGET = Path(__file__).parent / "provenance.md"
_BETWEEN = re.compile(
    r"(?<=<!-- tables: written by `make docs` -->\n).*(?=<!-- end of tables -->)", re.DOTALL
)

MEANINGS = {
    "run": "runs: executions of a dataflow",
    "task": "tasks: executions of a transformation",
    "study": "studies",
    "trial": "trials of studies",
    "used": "which task used which data item",
    "generated": "which task generated which data item",
    "dependency": "which task waited for which other; one that is not recorded is not here",
    "item": "data items, with the id that the application gave or got",
    "derivation": "which data item is derived from which other",
    "file": "for items that are files: what they were at that time",
    "annotation": "annotations of runs, tasks and data items; no command writes them yet",
    "dataflow": "specifications of dataflows, by version",
    "transformation": "the transformations that a version of a specification names",
    "transformation_dataset": "the datasets that they use and generate, and where these come from",
    "program": "the programs that carry them out",
    "dataset": "datasets; the rows are in `dataset.d<dataset_key>`; `version` is 0 without a specification",
    "dataset_attribute": "the attributes that specifications name for datasets, by version of the dataset",
    "run_environment": "what the processes of a run ran in",
    "environment": "what a process, by its client, ran in; recorded once",
    "environment_package": "the packages that were installed for it",
    "environment_variable": "variables of its environment, none of them secret",
    "task_usage": "what the metrics of a process and its host were as a task began and ended",
    "telemetry": "samples of processes and hosts as tasks begin and end",
    "attribute": "attributes of datasets, and their columns",
    "dataset_use": "which transformations use or generate items of a dataset",
    "trial_report": "values of the objective on the way to the end of a trial",
    "rejected": "records and values that could not be stored, with the reason",
    "lost": "how many records will never come, and why",
    "ingest_ahead": "how far clients were seen to have come beyond what is stored of them",
    "client": "processes that sent records",
    "ingest_mark": "up to which record each client is stored, commit by commit",
    "run_missing": "of runs whose processes lack records: how many were lost, and how many rejected",
    "run_part": "each process's part of a run that has ended",
    "run_begin": "`run`, as recorded",
    "run_end": "`run`, as recorded; one a process; without `record_count` where the service closed its part",
    "task_begin": "`task`, as recorded",
    "task_end": "`task`, as recorded",
    "dependency_given": "`dependency`, as recorded; `transformation` where it was told",
    "study_begin": "`study`, as recorded",
    "study_end": "`study`, as recorded",
    "trial_begin": "`trial`, as recorded",
    "trial_end": "`trial`, as recorded",
}


def tables() -> str:
    """Return the tables and views of the schema `prov` with their columns, as a table in Markdown."""
    columns: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as directory:
        backend = DuckDBBackend(Path(directory) / "empty.duckdb")
        migrate(backend)
        for table, column in backend.rows(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'prov'"
            " ORDER BY table_name, ordinal_position"
        ):
            columns.setdefault(table, []).append(column)
        backend.close()
    known = [name for name in MEANINGS if name in columns]
    unknown = [name for name in (*TABLES, *VIEWS) if name not in MEANINGS]
    lines = ["| `prov.` | holds | columns |", "| --- | --- | --- |"]
    for name in [*known, *unknown]:
        listed = ", ".join(f"`{column}`" for column in columns[name])
        lines.append(f"| `{name}` | {MEANINGS.get(name, '')} | {listed} |")
    return "\n".join(lines) + "\n"


def reference() -> str:
    """Return the page with its tables as they are now."""
    text = TARGET.read_text(encoding="utf-8")
    return _BETWEEN.sub(lambda _: tables(), text)


if __name__ == "__main__":
    TARGET.write_text(reference(), encoding="utf-8")
    sys.stdout.write(f"{TARGET}\n")
