"""The datasets of a store: their tables, the attributes these have, and the views that users name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from optiprov.store.backend import Backend, Kind, quote_name
from optiprov.store.dataset_views import alike_named, schema_of, view_name, view_query
from optiprov.store.values import widen

if TYPE_CHECKING:
    import datetime
    from collections.abc import Callable

FIXED_COLUMNS: dict[str, Kind] = {
    "item": "integer",
    "run_id": "text",
    "task": "integer",
    "transformation": "text",
    "commit_id": "integer",
    "ordinal": "integer",
}


@dataclass
class Attribute:
    """An attribute of a dataset: column `a<position>` of its table, `view_column` of its view."""

    name: str
    position: int
    kind: Kind
    view_column: str

    @property
    def column(self) -> str:
        """Its column in the dataset's table."""
        return f"a{self.position}"


@dataclass
class Dataset:
    """A dataset of a dataflow and where its rows are.

    `uses` are (transformation, role, is_reference): which transformations use or generate its items, and
    whether they do so by referring to items that are recorded elsewhere. `specified` are the attributes that
    the present version of its specification names, with their types, and `known_names` those of any version;
    `version` is 0 while no specification has come.
    """

    key: int
    dataflow: str
    name: str
    attributes: dict[str, Attribute] = field(default_factory=dict)
    uses: set[tuple[str, str, bool]] = field(default_factory=set)
    version: int = 0
    specified: dict[str, str] = field(default_factory=dict)
    known_names: set[str] = field(default_factory=set)

    @property
    def table(self) -> str:
        """Its table, qualified."""
        return f"dataset.d{self.key}"

    @property
    def fixed_columns(self) -> dict[str, Kind]:
        """The columns that every dataset's table has."""
        return FIXED_COLUMNS


def read_datasets(rows: Callable[[str], list[tuple[Any, ...]]]) -> list[Dataset]:
    """Return the datasets of a store.

    Args:
        rows: runs a query and returns its rows.
    """
    by_key: dict[int, Dataset] = {}
    for key, dataflow, name, version in rows(
        "SELECT dataset_key, dataflow, dataset, version FROM prov.dataset"
    ):
        by_key[key] = Dataset(key, dataflow, name, version=version)
    for key, position, name, kind, view_column in rows(
        "SELECT dataset_key, position, attribute, type, view_column FROM prov.attribute ORDER BY position"
    ):
        by_key[key].attributes[name] = Attribute(name, position, kind, view_column)
    for key, *use in rows("SELECT dataset_key, transformation, role, is_reference FROM prov.dataset_use"):
        by_key[key].uses.add((use[0], use[1], use[2]))
    for key, version, name, kind in rows(
        "SELECT dataset_key, version, attribute, type FROM prov.dataset_attribute ORDER BY position"
    ):
        by_key[key].known_names.add(name)
        if version == by_key[key].version:
            by_key[key].specified[name] = kind
    return list(by_key.values())


class Catalog:
    """The datasets, as the one writer of a store knows them.

    Changes go to the store at once, inside the caller's transaction; after a rollback, `load` again.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._datasets: dict[tuple[str, str], Dataset] = {}
        self._changed: set[tuple[str, str]] = set()
        self._dataflows: dict[str, tuple[int, str]] = {}  # version and text of their specifications
        self.load()

    def load(self) -> None:
        """Read the catalog from the store."""
        rows = self._backend.rows
        self._datasets = {(one.dataflow, one.name): one for one in read_datasets(rows)}
        self._dataflows = {
            dataflow: (version, text)
            for dataflow, version, text in rows(
                "SELECT dataflow, version, specification FROM prov.dataflow ORDER BY version"
            )
        }
        self._changed.clear()

    def dataset(self, dataflow: str, name: str) -> Dataset:
        """Return a dataset; it is made where it is new."""
        known = self._datasets.get((dataflow, name))
        if known is None:
            key = 1 + max((dataset.key for dataset in self._datasets.values()), default=0)
            known = self._datasets[dataflow, name] = Dataset(key, dataflow, name)
            columns = ", ".join(
                f"{column} {self._backend.sql_type(kind)}" for column, kind in FIXED_COLUMNS.items()
            )
            self._backend.execute(f"CREATE TABLE {known.table} ({columns})")
            self._backend.execute("INSERT INTO prov.dataset VALUES (?, ?, ?, 0)", (key, dataflow, name))
            self._changed.add((dataflow, name))
        return known

    def use(self, dataset: Dataset, transformation: str, role: str, *, is_reference: bool) -> None:
        """Note that a transformation uses or generates items of a dataset."""
        use = (transformation, role, is_reference)
        if use not in dataset.uses:
            dataset.uses.add(use)
            self._backend.execute("INSERT INTO prov.dataset_use VALUES (?, ?, ?, ?)", (dataset.key, *use))
            self._changed.add((dataset.dataflow, dataset.name))

    def attribute(self, dataset: Dataset, name: str, kind: Kind) -> Attribute:
        """Return an attribute, made where it is new, widened where it must be to hold values of a kind."""
        known = dataset.attributes.get(name)
        if known is None:
            return self._add_attribute(dataset, name, kind)
        wider = widen(known.kind, kind)
        if wider != known.kind:
            known.kind = wider
            self._backend.change_type(dataset.table, known.column, wider)
            self._backend.execute(
                "UPDATE prov.attribute SET type = ? WHERE dataset_key = ? AND position = ?",
                (wider, dataset.key, known.position),
            )
            self._changed.add((dataset.dataflow, dataset.name))
        return known

    def dataflow_version(self, dataflow: str) -> int:
        """Return the version of a dataflow's specification, 0 where there is none."""
        return self._dataflows.get(dataflow, (0, ""))[0]

    def specify_dataflow(self, dataflow: str, text: str) -> bool:
        """Note a specification of a dataflow; False where the present version says the same."""
        version, present = self._dataflows.get(dataflow, (0, None))
        if text == present:
            return False
        self._dataflows[dataflow] = (version + 1, text)
        return True

    def specify(self, dataset: Dataset, attributes: dict[str, str], specified_at: datetime.datetime) -> bool:
        """Note the attributes that a specification names; False where the present version says the same."""
        if not attributes or list(attributes.items()) == list(dataset.specified.items()):
            return False
        dataset.version += 1
        dataset.specified = dict(attributes)
        dataset.known_names.update(attributes)
        self._backend.execute(
            "UPDATE prov.dataset SET version = ? WHERE dataset_key = ?", (dataset.version, dataset.key)
        )
        for position, (name, kind) in enumerate(attributes.items(), 1):
            self._backend.execute(
                "INSERT INTO prov.dataset_attribute VALUES (?, ?, ?, ?, ?, ?)",
                (dataset.key, dataset.version, position, name, kind, specified_at),
            )
        return True

    def drop_attribute(self, dataset: Dataset, name: str) -> None:
        """Remove an attribute and its column, with the values."""
        attribute = dataset.attributes.pop(name)
        for view in self._views(dataset):
            self._backend.execute(f"DROP VIEW IF EXISTS {view}")  # some engines keep a column that a view has
        self._backend.drop_column(dataset.table, attribute.column)
        self._backend.execute(
            "DELETE FROM prov.attribute WHERE dataset_key = ? AND position = ?",
            (dataset.key, attribute.position),
        )
        self._changed.add((dataset.dataflow, dataset.name))

    def _add_attribute(self, dataset: Dataset, name: str, kind: Kind) -> Attribute:
        position = 1 + max((one.position for one in dataset.attributes.values()), default=0)
        attribute = Attribute(name, position, kind, self._view_column(dataset, name))
        dataset.attributes[name] = attribute
        sql_type = self._backend.sql_type(kind)
        self._backend.execute(f"ALTER TABLE {dataset.table} ADD COLUMN {attribute.column} {sql_type}")
        self._backend.execute(
            "INSERT INTO prov.attribute VALUES (?, ?, ?, ?, ?)",
            (dataset.key, position, name, kind, attribute.view_column),
        )
        self._changed.add((dataset.dataflow, dataset.name))
        return attribute

    @staticmethod
    def _view_column(dataset: Dataset, name: str) -> str:
        """Return the attribute's own name, numbered where the engine takes it for another column's."""
        taken = {attribute.view_column.lower() for attribute in dataset.attributes.values()} | {
            "run_id",
            "item",
        }
        candidate, number = name or "_", 2
        while candidate.lower() in taken or candidate.lower().endswith("_task_id"):
            candidate, number = f"{name}_{number}", number + 1
        return candidate

    def refresh_views(self) -> None:
        """Make the views of the datasets that have changed since the last call."""
        if not self._changed:
            return
        for dataflow, name in sorted(self._changed):
            dataset = self._datasets[dataflow, name]
            query = view_query(dataset)
            own, bare = self._views(dataset)
            self._backend.execute(f"CREATE SCHEMA IF NOT EXISTS {quote_name(schema_of(dataflow))}")
            self._backend.execute(f"CREATE OR REPLACE VIEW {own} AS {query}")
            if len(self._alike(name)) == 1:
                self._backend.execute(f"CREATE OR REPLACE VIEW {bare} AS {query}")
            else:
                self._backend.execute(f"DROP VIEW IF EXISTS {bare}")
        self._changed.clear()

    def _alike(self, name: str) -> list[Dataset]:
        return alike_named(self._datasets.values(), name)

    def _views(self, dataset: Dataset) -> tuple[str, str]:
        """Return the dataset's view in the schema of its dataflow, and that with the bare name."""
        schema = schema_of(dataset.dataflow)
        beside = [
            one for one in self._alike(dataset.name) if schema_of(one.dataflow).lower() == schema.lower()
        ]
        own = f"{quote_name(schema)}.{quote_name(view_name(dataset, beside))}"
        # Qualified: where there is no such view, DROP VIEW would go on to look for a table of ours in prov.
        return own, f"main.{quote_name(dataset.name)}"
