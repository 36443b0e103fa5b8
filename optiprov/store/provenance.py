"""Asking the provenance: the same object on a file and on a service."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from optiprov.errors import MetricError
from optiprov.store.attributes import read_attributes
from optiprov.store.frames import to_frame
from optiprov.store.query import Compiled, Compiler, Filter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pandas as pd
    import pyarrow as pa

    from optiprov.store.attributes import DatasetAttribute
    from optiprov.store.lineage import Lineage


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
        with self._asking() as ask:
            compiled = self.compile(projection, filter, aggregation, sort, limit)
            return compiled.shown(ask(compiled.sql, compiled.parameters))

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

    def lineage(
        self,
        item: Any,
        direction: Literal["up", "down"] = "up",
        depth: int | None = None,
        stop_at: str | Sequence[str] | None = None,
    ) -> Lineage:
        """Return every task and data item that led to something, or came of it.

        What tasks used and generated, derivations of items and dependencies of tasks are followed, across
        runs, dataflows and campaigns: by the identity of items, never by equal values. What is committed
        meanwhile may be in it or not.

        Args:
            item: the id of a data item; the path of a file, for all its versions; a task, as
                `run_id/transformation/task_id`, where no other has them as `transformation/task_id` or
                `task_id`, or as a tuple of the three or of `run_id` and `task_id`; a row of `tasks(run)`, of
                a lineage or of a dataset's view, or a mapping with such columns; a `Data`, `File` or `Task`.
            direction: "up" to what led to it, "down" to what came of it.
            depth: how many tasks away from the start it goes at most; the data items of the last ones are in
                it. A derivation and a dependency count as the task behind them. By default all.
            stop_at: a transformation, or several, at which it ends: their tasks are in it, what lies behind
                them is not, unless it is reached in another way. A derivation that one of these tasks made
                is not followed either. The start itself does not stop.

        Raises:
            QueryError: the store does not have the start or a transformation, or has several of that name;
                the message lists what there is. Or a direction or depth is none.
        """
        from optiprov.store.lineage import trace

        with self._asking() as ask:
            return trace(ask, item, direction, depth, stop_at)

    @contextmanager
    def _asking(self) -> Iterator[Callable[..., pa.Table]]:
        """Give what runs one query, as `fetch` does, for a block that runs many."""
        yield self.fetch

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


def _read(column: str, kind: str) -> str:
    if kind == "boolean":
        column = f"CAST({column} AS INTEGER)"  # MonetDB makes no doubles of booleans
    return f"CAST({column} AS {_read_as(kind)})"


def _read_as(kind: str) -> str:
    return "DOUBLE" if kind in ("integer", "double", "boolean") else "TEXT"
