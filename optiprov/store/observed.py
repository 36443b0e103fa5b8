"""Rows of what was observed beside the tasks: samples of telemetry, and the environment of a process."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from optiprov.store.schema import TABLES

if TYPE_CHECKING:
    import datetime

    from optiprov.records import Environment, Telemetry
    from optiprov.wire import Header

_MOMENTS = ("begin", "end", "sample")


def telemetry_rows(
    record: Telemetry, task: int, header: Header, sampled_at: datetime.datetime
) -> list[tuple[Any, ...]]:
    """Return a row for each metric of a sample.

    Raises:
        ValueError: the moment is none.
        TypeError: a value is no number.
    """
    if record.moment not in _MOMENTS:
        raise ValueError(f"the moment of telemetry is one of {', '.join(_MOMENTS)}, got {record.moment!r}")
    for metric, value in record.values.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(f"the metric {metric} is a number, got {value!r}")
    return [
        (record.run_id, task, header.client, header.host, record.moment, metric, float(value), sampled_at)
        for metric, value in record.values.items()
    ]


def environment_rows(
    record: Environment, header: Header, captured_at: datetime.datetime
) -> dict[str, list[tuple[Any, ...]]]:
    """Return the rows of an environment by table.

    Raises:
        ValueError: a property is not of its column's type.
    """
    properties = list(TABLES["environment"].items())[1:-1]
    values = [_property(name, kind, record.properties.get(name)) for name, kind in properties]
    client = header.client
    return {
        "environment": [(client, *values, captured_at)],
        "environment_package": [(client, name, str(version)) for name, version in record.packages.items()],
        "environment_variable": [(client, name, str(value)) for name, value in record.variables.items()],
    }


def _property(name: str, kind: str, value: Any) -> Any:
    if value is None:
        return None
    if kind == "json":
        return json.dumps(value)
    if not isinstance(value, _TYPES[kind]) or (kind == "integer" and isinstance(value, bool)):
        raise ValueError(f"the environment's {name} is of type {kind}, got {value!r}")
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        raise ValueError(f"the environment's {name} has 64 bits, got {value!r}")
    return value


_INT64 = 2**63
_TYPES = {"text": str, "integer": int, "boolean": bool}
