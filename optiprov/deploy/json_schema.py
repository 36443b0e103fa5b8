"""The JSON Schemas of a scenario's files, for editors; made from what reads the files."""

from __future__ import annotations

from typing import Any

from optiprov.deploy import ansible_names
from optiprov.deploy.kinds import Kind, ListOf, Schema
from optiprov.deploy.models import WORKFLOW_ENV, LayersServices, NetworkFile, PlayModel, ProvidersFile
from optiprov.deploy.models.base import Nested
from optiprov.deploy.models.workflow import TASK_DEFINITION
from optiprov.deploy.modules import MODULES
from optiprov.deploy.task_keywords import KEYWORDS

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
    if TASK_DEFINITION in definitions:
        definitions[TASK_DEFINITION] = _task_schema()
    titled = {"$schema": DIALECT, "title": f"optiprov: {kind}.yaml", **schema}
    return {**titled, "$defs": definitions} if definitions else titled


def _task_schema() -> Schema:
    """A task: keywords, and one of our modules or Ansible's."""
    names = KEYWORDS | ansible_names.TASK_KEYWORDS | ansible_names.MODULES
    properties: Schema = {name: {} for name in sorted(names)}
    blocks = {"type": "array", "items": {"$ref": f"#/$defs/{TASK_DEFINITION}"}}
    properties |= dict.fromkeys(sorted(ansible_names.BLOCK_KEYWORDS), blocks)
    for name, module in MODULES.items():
        arguments = sorted({*module.arguments, *module.arguments_of_ansible})
        schema = {
            "type": ["string", "object", "null"],
            "properties": {argument: {} for argument in arguments},
            "additionalProperties": False,
        }
        properties |= {name: schema, f"ansible.builtin.{name}": schema}
    return {
        "type": "object",
        "description": "A task: one module, and keywords.",
        "properties": properties,
        "patternProperties": {r"^[a-z_0-9]+\.": {}, "^with_": {}},
        "additionalProperties": False,
    }
