"""The tables of the store, its views, and how a store of an older version becomes one of this.

The tables are in the schema `prov`, the rows of datasets in `dataset`; the views that users name are in the
default schema and in one schema a dataflow. Events are appended, never updated: `run`, `task`, `study` and
`trial` are views that put begin and end together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from optiprov.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from optiprov.store.backend import Backend, Kind

VERSION = 3
SINCE_VERSION = {"ingest_ahead": 2}
"""The first version that has a table, where it is not the first of all."""

TABLES: dict[str, dict[str, Kind]] = {
    # who sent what
    "client": {
        "client_id": "text",
        "host": "text",
        "pid": "integer",
        "username": "text",
        "trial_id": "text",
        "study": "text",
        "campaign": "text",
        "first_seen_at": "timestamp",
    },
    "ingest_mark": {
        "client_id": "text",
        "mark": "integer",
        "commit_id": "integer",
        "committed_at": "timestamp",
    },
    "ingest_ahead": {"client_id": "text", "last_sequence": "integer", "noted_at": "timestamp"},
    "rejected": {
        "client_id": "text",
        "sequence": "integer",
        "reason": "text",
        "payload": "text",
        "rejected_at": "timestamp",
    },
    "lost": {
        "client_id": "text",
        "first_sequence": "integer",
        "record_count": "integer",
        "reason": "text",
        "detected_at": "timestamp",
    },
    # retrospective
    "run_begin": {
        "run_id": "text",
        "dataflow": "text",
        "client_id": "text",
        "trial_id": "text",
        "study": "text",
        "campaign": "text",
        "agent": "text",
        "host": "text",
        "pid": "integer",
        "started_at": "timestamp",
        "arrival": "integer",
    },
    "run_end": {
        "run_id": "text",
        "client_id": "text",
        "status": "text",
        "record_count": "integer",
        "reason": "text",
        "ended_at": "timestamp",
    },
    "task_begin": {
        "task": "integer",
        "task_id": "text",
        "run_id": "text",
        "dataflow": "text",
        "transformation": "text",
        "client_id": "text",
        "host": "text",
        "agent": "text",
        "started_at": "timestamp",
        "arrival": "integer",
    },
    "task_end": {
        "task": "integer",
        "task_id": "text",
        "run_id": "text",
        "dataflow": "text",
        "transformation": "text",
        "status": "text",
        "error": "text",
        "ended_at": "timestamp",
    },
    "dependency_given": {
        "task": "integer",
        "run_id": "text",
        "transformation": "text",
        "task_id": "text",
    },
    "used": {"task": "integer", "item": "integer"},
    "generated": {"task": "integer", "item": "integer"},
    "item": {"item": "integer", "item_id": "text", "dataset_key": "integer", "run_id": "text"},
    "derivation": {"item": "integer", "source": "integer"},
    "file": {
        "item": "integer",
        "path": "text",
        "role": "text",
        "size_bytes": "integer",
        "modified_at": "timestamp",
    },
    "annotation": {
        "target_kind": "text",
        "target": "text",
        "namespace": "text",
        "key": "text",
        "value": "json",
        "agent": "text",
        "annotated_at": "timestamp",
    },
    # observed beside the tasks
    "telemetry": {
        "run_id": "text",
        "task": "integer",
        "client_id": "text",
        "host": "text",
        "moment": "text",
        "metric": "text",
        "value": "double",
        "sampled_at": "timestamp",
    },
    "environment": {
        "client_id": "text",
        "host": "text",
        "os": "text",
        "distribution": "text",
        "machine": "text",
        "cpu_model": "text",
        "cpu_count": "integer",
        "usable_cpu_count": "integer",
        "memory_bytes": "integer",
        "username": "text",
        "python": "text",
        "executable": "text",
        "command_line": "json",
        "directory": "text",
        "repository": "text",
        "revision": "text",
        "is_modified": "boolean",
        "captured_at": "timestamp",
    },
    "environment_package": {"client_id": "text", "package": "text", "version": "text"},
    "environment_variable": {"client_id": "text", "variable": "text", "value": "text"},
    # prospective
    "dataflow": {
        "dataflow": "text",
        "version": "integer",
        "specification": "json",
        "client_id": "text",
        "specified_at": "timestamp",
    },
    "transformation": {
        "dataflow": "text",
        "version": "integer",
        "position": "integer",
        "transformation": "text",
    },
    "transformation_dataset": {
        "dataflow": "text",
        "version": "integer",
        "transformation": "text",
        "role": "text",
        "position": "integer",
        "dataset": "text",
        "source": "text",
    },
    "program": {
        "dataflow": "text",
        "version": "integer",
        "transformation": "text",
        "program": "text",
        "path": "text",
    },
    "dataset_attribute": {
        "dataset_key": "integer",
        "version": "integer",
        "position": "integer",
        "attribute": "text",
        "type": "text",
        "specified_at": "timestamp",
    },
    "dataset": {"dataset_key": "integer", "dataflow": "text", "dataset": "text", "version": "integer"},
    "attribute": {
        "dataset_key": "integer",
        "position": "integer",
        "attribute": "text",
        "type": "text",
        "view_column": "text",
    },
    "dataset_use": {
        "dataset_key": "integer",
        "transformation": "text",
        "role": "text",
        "is_reference": "boolean",
    },
    # optimization
    "study_begin": {
        "study": "text",
        "campaign": "text",
        "metric": "text",
        "mode": "text",
        "space": "json",
        "settings": "json",
        "started_at": "timestamp",
    },
    "study_end": {"study": "text", "status": "text", "reason": "text", "ended_at": "timestamp"},
    "trial_begin": {"study": "text", "trial_id": "text", "config": "json", "started_at": "timestamp"},
    "trial_report": {
        "study": "text",
        "trial_id": "text",
        "step": "integer",
        "value": "double",
        "reported_at": "timestamp",
    },
    "trial_end": {
        "study": "text",
        "trial_id": "text",
        "status": "text",
        "value": "double",
        "metrics": "json",
        "reason": "text",
        "ended_at": "timestamp",
    },
}

# A task that its client left open when its part of the run ended has stopped, or failed with it. In two parts
# rather than by a full join: engines push a condition down into each of them.
ENDED_TASKS = """SELECT e.task, e.task_id, e.run_id, e.dataflow, e.transformation, e.status, b.host, b.agent,
               b.started_at, e.ended_at, e.error
        FROM prov.task_end e LEFT JOIN prov.task_begin b ON b.task = e.task"""
OPEN_TASKS = """SELECT b.task, b.task_id, b.run_id, b.dataflow, b.transformation,
               CASE p.status WHEN 'failed' THEN 'failed' WHEN 'stopped' THEN 'stopped'
                    WHEN 'finished' THEN 'stopped' ELSE 'running' END,
               b.host, b.agent, b.started_at, p.ended_at, p.reason
        FROM prov.task_begin b
        LEFT JOIN prov.run_part p ON p.run_id = b.run_id AND p.client_id = b.client_id
        WHERE NOT EXISTS (SELECT 1 FROM prov.task_end e WHERE e.task = b.task)"""

VIEWS: dict[str, str] = {
    # What a service says of a client that left its part of a run open has no record_count: an end of the
    # client's own wins over it, whenever it comes.
    "run_part": """
        SELECT run_id, client_id,
               CASE COALESCE(max(CASE WHEN record_count IS NOT NULL THEN severity END), max(severity))
                    WHEN 2 THEN 'failed' WHEN 1 THEN 'stopped' ELSE 'finished' END AS status,
               COALESCE(max(CASE WHEN record_count IS NOT NULL THEN ended_at END), max(ended_at)) AS ended_at,
               CASE WHEN count(record_count) = 0 THEN max(reason) END AS reason,
               max(record_count) AS record_count
        FROM (SELECT run_id, client_id, record_count, ended_at, reason,
                     CASE status WHEN 'failed' THEN 2 WHEN 'stopped' THEN 1 ELSE 0 END AS severity
              FROM prov.run_end) e
        GROUP BY run_id, client_id""",
    # The clients of a run are those that began, joined or ended it, and those with a task in it; the latter
    # are looked for only where they lack something. What is lost has a number, but no run: all runs of its
    # client tell it.
    "run_missing": """
        SELECT p.run_id, CAST(sum(m.lost) AS BIGINT) AS lost, CAST(sum(m.rejected) AS BIGINT) AS rejected
        FROM (SELECT client_id, sum(lost) AS lost, sum(rejected) AS rejected
              FROM (SELECT client_id, record_count AS lost, 0 AS rejected FROM prov.lost
                    UNION ALL SELECT client_id, 0, 1 FROM prov.rejected) e
              GROUP BY client_id) m
        JOIN (SELECT run_id, client_id FROM prov.run_begin
              UNION SELECT run_id, client_id FROM prov.run_end
              UNION SELECT run_id, client_id FROM prov.task_begin
                    WHERE client_id IN (SELECT client_id FROM prov.lost
                                        UNION ALL SELECT client_id FROM prov.rejected)) p
             ON p.client_id = m.client_id
        GROUP BY p.run_id""",
    "run": """
        SELECT b.run_id, b.dataflow, b.trial_id, b.study, b.campaign, b.agent, b.host, b.pid,
               CASE WHEN e.severity = 2 THEN 'failed' WHEN e.severity = 1 THEN 'stopped'
                    WHEN b.open_parts = 0 THEN 'finished' ELSE 'running' END AS status,
               b.started_at,
               CASE WHEN b.open_parts = 0 OR e.severity > 0 THEN e.ended_at END AS ended_at,
               e.reason,
               CASE WHEN b.unsaid_parts = 0 AND COALESCE(m.lost, 0) = 0 AND COALESCE(m.rejected, 0) = 0
                    THEN TRUE ELSE FALSE END AS is_complete,
               e.record_count, COALESCE(m.lost, 0) AS lost, COALESCE(m.rejected, 0) AS rejected
        FROM (SELECT r.run_id, min(r.dataflow) AS dataflow, min(r.trial_id) AS trial_id,
                     min(r.study) AS study, min(r.campaign) AS campaign, min(r.agent) AS agent,
                     min(r.host) AS host, min(r.pid) AS pid, min(r.started_at) AS started_at,
                     sum(CASE WHEN p.client_id IS NULL THEN 1 ELSE 0 END) AS open_parts,
                     sum(CASE WHEN p.record_count IS NULL THEN 1 ELSE 0 END) AS unsaid_parts
              FROM prov.run_begin r
              LEFT JOIN (SELECT run_id, client_id, max(record_count) AS record_count FROM prov.run_end
                         GROUP BY run_id, client_id) p
                   ON p.run_id = r.run_id AND p.client_id = r.client_id
              GROUP BY r.run_id) b
        LEFT JOIN (SELECT run_id, max(ended_at) AS ended_at, max(reason) AS reason,
                          CAST(sum(record_count) AS BIGINT) AS record_count,
                          max(CASE status WHEN 'failed' THEN 2 WHEN 'stopped' THEN 1 ELSE 0 END) AS severity
                   FROM prov.run_part GROUP BY run_id) e ON e.run_id = b.run_id
        LEFT JOIN prov.run_missing m ON m.run_id = b.run_id""",
    "task": f"""
        {ENDED_TASKS}
        UNION ALL
        {OPEN_TASKS}""",
    # A dependency that names a task by its id alone is on each task of the run that has the id; DfAnalyzer's
    # clients name transformations in lower case.
    "dependency": """
        SELECT DISTINCT g.task, t.task AS depends_on
        FROM prov.dependency_given g
        JOIN (SELECT task, run_id, task_id, transformation FROM prov.task_begin
              UNION ALL SELECT task, run_id, task_id, transformation FROM prov.task_end) t
             ON t.run_id = g.run_id AND t.task_id = g.task_id
        WHERE t.task <> g.task
              AND (g.transformation IS NULL OR lower(g.transformation) = lower(t.transformation))""",
    "study": """
        SELECT b.study, b.campaign, b.metric, b.mode, COALESCE(e.status, 'running') AS status,
               b.started_at, e.ended_at, e.reason, b.space, b.settings
        FROM prov.study_begin b LEFT JOIN prov.study_end e ON e.study = b.study""",
    "trial": """
        SELECT b.study, b.trial_id, COALESCE(e.status, 'running') AS status, e.value, b.config, e.metrics,
               b.started_at, e.ended_at, e.reason
        FROM prov.trial_begin b
        LEFT JOIN prov.trial_end e ON e.study = b.study AND e.trial_id = b.trial_id""",
    # observed beside the tasks
    "task_usage": """
        SELECT b.run_id, b.task, b.host, b.metric, b.value AS begin_value, e.value AS end_value,
               e.value - b.value AS change
        FROM prov.telemetry b
        JOIN prov.telemetry e ON e.task = b.task AND e.metric = b.metric AND e.client_id = b.client_id
        WHERE b.moment = 'begin' AND e.moment = 'end'""",
    "run_environment": f"""
        SELECT b.run_id, b.pid, {", ".join(f"e.{column}" for column in TABLES["environment"])}
        FROM (SELECT DISTINCT run_id, client_id, pid FROM prov.run_begin) b
        JOIN prov.environment e ON e.client_id = b.client_id""",
}


def _create_all(backend: Backend) -> None:
    backend.execute("CREATE SCHEMA IF NOT EXISTS prov")
    backend.execute("CREATE SCHEMA dataset")
    backend.execute(f"CREATE TABLE prov.schema_version (version {backend.sql_type('integer')})")
    for table in TABLES:
        _create_table(backend, table)
    _create_views(backend)
    backend.execute(f"CREATE VIEW prov.listing AS {backend.listing}")


def _create_table(backend: Backend, table: str) -> None:
    defined = ", ".join(f"{name} {backend.sql_type(kind)}" for name, kind in TABLES[table].items())
    backend.execute(f"CREATE TABLE prov.{table} ({defined})")


def _create_views(backend: Backend) -> None:
    for view, query in VIEWS.items():
        backend.execute(f"CREATE VIEW prov.{view} AS {query}")


def _note_who_is_ahead(backend: Backend) -> None:
    """What clients have sent ahead of missing records is noted."""
    _create_table(backend, "ingest_ahead")


def _tell_what_runs_lack(backend: Backend) -> None:
    """Runs say whether they are complete: all views are made anew, those that others ask last to go."""
    for view in reversed(VIEWS):
        backend.execute(f"DROP VIEW IF EXISTS prov.{view}")
    _create_views(backend)


_MIGRATIONS = {1: _note_who_is_ahead, 2: _tell_what_runs_lack}
"""By version n, the step that takes a store from there to version n + 1."""


def migrate(backend: Backend) -> None:
    """Make an empty store one of this version, or bring one of an older version to it, step by step.

    Each step is one transaction.

    Raises:
        StoreError: the store was written by a later version of optiprov.
    """
    present = _version(backend)
    if present > VERSION:
        raise StoreError(
            f"The store has schema version {present}, this optiprov knows versions up to {VERSION}. "
            "Use the optiprov that wrote it, or a later one."
        )
    if not present:
        _make(backend, _create_all, VERSION)
        return
    for version in range(present, VERSION):
        _make(backend, _MIGRATIONS[version], version + 1)


def _make(backend: Backend, step: Callable[[Backend], None], version: int) -> None:
    with backend.transaction():
        step(backend)
        backend.execute("DELETE FROM prov.schema_version")
        backend.execute(f"INSERT INTO prov.schema_version VALUES ({version})")


def _version(backend: Backend) -> int:
    if not backend.has_table("prov", "schema_version"):
        return 0
    return int(backend.rows("SELECT max(version) FROM prov.schema_version")[0][0])
