"""The names of variables that a scenario cannot give to something else."""

from __future__ import annotations

RESERVED = frozenset(
    [
        "_self",
        "app_conf",
        "artifacts_dir",
        "current_repeat",
        "optimization_config",
        "scenario_dir",
        "working_dir",
    ]
)
SELF_KEYS = frozenset(
    {"_id", "layer_id", "service_id", "machine_id", "host_id", "port", "metadata", "__address__"}
    | {"__address4__", "__address6__", "address", "address4", "address6", "url", "url4", "url6", "gateway"}
)
