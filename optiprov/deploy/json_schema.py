"""The JSON Schemas of a scenario's files, for editors; made from what reads the files."""

from __future__ import annotations

from typing import Any

from optiprov.deploy.kinds import Kind, ListOf, Schema
from optiprov.deploy.models import WORKFLOW_ENV, LayersServices, NetworkFile, PlayModel, ProvidersFile
from optiprov.deploy.models.base import Nested

DIALECT = "https://json-schema.org/draft/2020-12/schema"

FILES: dict[str, Kind] = {
    "layers_services": Nested(LayersServices),
    "network": Nested(NetworkFile, or_nothing=True),
    "providers": Nested(ProvidersFile, or_nothing=True),
    "workflow": ListOf(Nested(PlayModel)),
    "workflow_env": WORKFLOW_ENV,
}
"""The files, without `.yaml`, and what they hold."""


def file_schema(kind: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a file, named as in FILES."""
    definitions: dict[str, Schema] = {}
    schema = FILES[kind].json_schema(definitions)
    titled = {"$schema": DIALECT, "title": f"optiprov: {kind}.yaml", **schema}
    return {**titled, "$defs": definitions} if definitions else titled
