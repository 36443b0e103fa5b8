"""The fields that every store has, of tasks, runs and trials, and suggestions for one that it has not."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TASK = (
    "task_id",
    "transformation",
    "status",
    "host",
    "agent",
    "started_at",
    "ended_at",
    "error",
    "duration_s",
)
_RUN = (
    *("run_id", "dataflow", "status", "agent", "host", "pid", "started_at", "ended_at", "campaign", "study"),
    *("is_complete", "record_count", "lost", "rejected"),
)
_TRIAL = ("trial_id", "status", "value", "started_at", "ended_at")
ALIASES = {
    "task_id": "task.task_id",
    "transformation": "task.transformation",
    "status": "task.status",
    "started_at": "task.started_at",
    "ended_at": "task.ended_at",
    "run_id": "run.run_id",
    "workflow_id": "run.run_id",
    "dataflow": "run.dataflow",
    "campaign_id": "run.campaign",
    "study": "run.study",
    "trial_id": "trial.trial_id",
}
ALWAYS_SHOWN = ("trial_id", "task_id", "transformation", "status")
"""What a query without a projection shows before the attributes."""
SAID_BY_BEGINS = ("host", "agent", "started_at")
"""The fields of tasks that their begins have alone."""
FIELDS = {"task": _TASK, "run": _RUN, "trial": _TRIAL}
"""The fields that every store has, by group."""
KINDS = {
    **{("task", name): "timestamp" for name in ("started_at", "ended_at")},
    **{("run", name): "timestamp" for name in ("started_at", "ended_at")},
    **{("trial", name): "timestamp" for name in ("started_at", "ended_at")},
    ("task", "duration_s"): "double",
    **{("run", name): "integer" for name in ("pid", "record_count", "lost", "rejected")},
    ("run", "is_complete"): "boolean",
    ("trial", "value"): "double",
}


def hint(name: str, groups: Mapping[str, Sequence[str]]) -> str:
    """Suggest fields that have this name in another group, or without a group; otherwise similar ones."""
    full = {f"{group}.{one}": one for group, names in groups.items() for one in names}
    bare = name.partition(".")[2] if name.partition(".")[0] in groups else name
    found = [field for field, one in full.items() if one == bare]
    if not found:
        found = difflib.get_close_matches(name, [*full, *ALIASES], n=1)
    if not found:
        close = difflib.get_close_matches(bare, list(full.values()), n=1)
        found = [field for field, one in full.items() if one in close]
    return f" Did you mean {' or '.join(map(repr, found))}?" if found else ""
