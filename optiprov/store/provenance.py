"""Asking the provenance: the same object on a file and on a service."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple

from optiprov.errors import MetricError
from optiprov.store.attributes import read_attributes
from optiprov.store.query import Compiled, Compiler, Filter

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    import pyarrow as pa

    from optiprov.store.attributes import DatasetAttribute


class StoredValue(NamedTuple):
    """A value of an attribute and its position in the store.

    Attributes:
        position: (commit, ordinal within it); later values have greater positions.
        value: a float for numbers and booleans, otherwise text; None where the item has no value.
    """

    position: tuple[int, int]
    value: Any


class Provenance(ABC):
    """The provenance in a store. Thread-safe; each call sees what is committed at that time."""

    @abstractmethod
    def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> pa.Table:
        """Run one read-only SQL query and return its rows as an Arrow table.

        Raises:
            QueryError: the statement is not a single query, or the engine refuses it.
            NoStoreError: the file is no store.
            StoreError: the store cannot be opened.
            ServiceUnavailable: the service does not answer.
        """

    def sql(self, text: str, params: Sequence[Any] = ()) -> pd.DataFrame:
        """Run one read-only SQL query: over the datasets' views, and the tables in the schema `prov`.

        Args:
            text: one SELECT; `?` stands for a parameter.
            params: values for the parameters, in order.

        Returns:
            One row a result row.
        """
        return to_frame(self.fetch(text, params))

    def query(
        self,
        projection: Sequence[str] | None = None,
        filter: Filter | None = None,
        aggregation: Sequence[tuple[str, str]] | None = None,
        sort: Sequence[tuple[str, str]] | None = None,
        limit: int | None = None,
    ) -> pd.DataFrame:
        """Query tasks by what they used and generated.

        Args:
            projection: fields to show, such as `used.kernel_size`, `generated.accuracy`, `task.status`; by
                default trial_id, task_id, transformation, status, and of what the tasks used and generated,
                in the order of the datasets, the attributes of which a row has a value or that the filter or
                the sort names.
            filter: conditions, such as `{"generated.accuracy": {"$gt": 0.9}}`.
            aggregation: pairs of function and field, such as `("max", "generated.accuracy")`; fields that are
                shown and not aggregated are the groups.
            sort: pairs of field and "ascending" or "descending".
            limit: the most rows returned.

        Raises:
            QueryError: an unknown field or operator; the message lists what there is.
        """
        return to_frame(self.answer(projection, filter, aggregation, sort, limit))

    def answer(
        self,
        projection: Sequence[str] | None = None,
        filter: Filter | None = None,
        aggregation: Sequence[tuple[str, str]] | None = None,
        sort: Sequence[tuple[str, str]] | None = None,
        limit: int | None = None,
    ) -> pa.Table:
        """Return what `query` returns as an Arrow table, which tells NaN from no value."""
        compiled = self.compile(projection, filter, aggregation, sort, limit)
        return compiled.shown(self.fetch(compiled.sql, compiled.parameters))

    def compile(
        self,
        projection: Sequence[str] | None = None,
        filter: Filter | None = None,
        aggregation: Sequence[tuple[str, str]] | None = None,
        sort: Sequence[tuple[str, str]] | None = None,
        limit: int | None = None,
    ) -> Compiled:
        """Return the SQL that `query` runs for the same arguments."""
        attributes = self._attributes()
        held = None
        if filter and not projection and not aggregation and len({a.dataflow for a in attributes}) > 1:
            # Other dataflows' datasets would cost time, and change the types of attributes of the same name.
            question = Compiler(attributes).compile_held(filter)
            held = {key for (key,) in self._rows(question.sql, question.parameters)}
        return Compiler(attributes).compile(projection, filter, aggregation, sort, limit, held=held)

    def runs(self) -> pd.DataFrame:
        """Return all runs, one a row, in the order in which the store learnt of their begins.

        The clocks of hosts have no say in it.
        """
        return self.sql(
            "SELECT r.* FROM prov.run r JOIN"
            " (SELECT run_id, min(arrival) AS arrival FROM prov.run_begin GROUP BY run_id) b"
            " ON b.run_id = r.run_id ORDER BY b.arrival"
        )

    def tasks(self, run: str) -> pd.DataFrame:
        """Return the tasks of a run, one a row, in the order in which the store learnt of their begins.

        Of one process that is the order in which they began; the clocks of hosts have no say in it.
        """
        return self.sql(
            "SELECT t.* FROM prov.task t LEFT JOIN prov.task_begin b ON b.task = t.task WHERE t.run_id = ?"
            " ORDER BY CASE WHEN b.arrival IS NULL THEN 1 ELSE 0 END, b.arrival, t.task_id",
            (run,),
        )

    def environment(self, run: str) -> pd.DataFrame:
        """Return what the processes of a run ran in, one a row: host, code, Python, command line."""
        return self.sql("SELECT * FROM prov.run_environment WHERE run_id = ? ORDER BY captured_at", (run,))

    def studies(self) -> pd.DataFrame:
        """Return all studies, one a row, the oldest first."""
        return self.sql("SELECT * FROM prov.study ORDER BY started_at, study")

    def trials(self, study: str) -> pd.DataFrame:
        """Return the trials of a study, one a row, in the order they began."""
        return self.sql("SELECT * FROM prov.trial WHERE study = ? ORDER BY started_at, trial_id", (study,))

    def values(self, metric: str, trial: str, *, after: tuple[int, int] = (0, -1)) -> list[StoredValue]:
        """Return the values of an attribute that a trial's runs have emitted, in the order they were stored.

        Args:
            metric: `dataset.attribute`.
            trial: id of the trial.
            after: only what was stored after this position.

        Raises:
            MetricError: the store has no such dataset or attribute (yet); the message lists what there is.
        """
        dataset, _, name = metric.rpartition(".")
        attributes = self._attributes()
        found = [a for a in attributes if (a.dataset, a.name) == (dataset, name)]
        if not found:
            there = ", ".join(dict.fromkeys(f"{a.dataset}.{a.name}" for a in attributes)) or "nothing"
            raise MetricError(f"the store has no {metric!r}; it has {there}.")
        parts = [
            f"SELECT d.commit_id, d.ordinal, {_read(f'd.{a.column}', a.kind)} AS value, d.run_id"
            f" FROM dataset.d{a.dataset_key} d"
            for a in found
        ]
        sql = (
            f"SELECT v.commit_id, v.ordinal, v.value FROM ({' UNION ALL '.join(parts)}) v"
            " WHERE v.run_id IN (SELECT run_id FROM prov.run_begin WHERE trial_id = ?)"
            " AND (v.commit_id > ? OR v.commit_id = ? AND v.ordinal > ?) ORDER BY v.commit_id, v.ordinal"
        )
        rows = self._rows(sql, (trial, after[0], after[0], after[1]))
        return [StoredValue((commit, ordinal), value) for commit, ordinal, value in rows]

    def _attributes(self) -> list[DatasetAttribute]:
        return read_attributes(self._rows)

    def _rows(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        table = self.fetch(sql, parameters)
        return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def to_frame(table: pa.Table) -> pd.DataFrame:
    """Return a result as pandas has it: sums (128 bit in DuckDB) as floats, and no key that lost digits."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    exact = []
    for index, column in enumerate(table.schema):
        if pa.types.is_decimal(column.type):
            table = table.set_column(index, column.name, table.column(index).cast(pa.float64()))
        elif pa.types.is_int64(column.type) and table.column(index).null_count:
            bounds = pc.min_max(table.column(index)).as_py()
            if max(abs(bounds["min"] or 0), abs(bounds["max"] or 0)) > _EXACT_IN_FLOAT:
                exact.append(index)
    frame: pd.DataFrame = table.to_pandas()
    for index in exact:  # beside NULLs, pandas would make floats of them
        values = pd.array(table.column(index).to_pylist(), dtype="Int64")
        frame.isetitem(index, values)
    return frame


_EXACT_IN_FLOAT = 2**53


def _read(column: str, kind: str) -> str:
    if kind == "boolean":
        column = f"CAST({column} AS INTEGER)"  # MonetDB makes no doubles of booleans
    return f"CAST({column} AS {_read_as(kind)})"


def _read_as(kind: str) -> str:
    return "DOUBLE" if kind in ("integer", "double", "boolean") else "TEXT"
