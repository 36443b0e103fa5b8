"""The JSON Schemas say of a file what reading it says, as far as a schema can."""

import json

import jsonschema
import pytest
import yaml

from optiprov.deploy.json_schema import FILES, file_schema
from optiprov.deploy.models.base import Nested

from .conftest import SCENARIOS
from .test_properties import SEEDS
from .test_scenario_files import CONTINUUM


def validator(kind):
    """A validator of the schema of a file."""
    schema = json.loads(json.dumps(file_schema(kind)))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("name", sorted(SEEDS))
def test_schemas_accept_what_is_read(name):
    """Everything that E2Clab's documentation has; a timestamp is a text to editors."""
    document = yaml.safe_load(SEEDS[name].replace("2026-01-31 19:00:00", "'2026-01-31 19:00:00'"))
    validator(name.removesuffix(".yaml")).validate(document)


@pytest.mark.parametrize("path", sorted(SCENARIOS.parents[2].glob("experiments/*/*.yaml")), ids=str)
def test_schemas_accept_the_experiments(path):
    """Their scenarios are ours."""
    if path.stem in FILES:
        validator(path.stem).validate(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("layers_services", CONTINUUM.replace("queue: production", "queue: prodcution")),
        ("layers_services", CONTINUUM.replace("repeat: 1", "repeat: 1.5")),
        ("layers_services", CONTINUUM.replace("quantity: 2", "quantity: -1")),
        ("layers_services", CONTINUUM.replace("parallelism: 2", "parallelism: 0")),
        ("layers_services", CONTINUUM.replace('"02:59:00"', "10:00:00")),
        ("layers_services", CONTINUUM + "layer: []\n"),
        ("network", "networks: [{src: a, dst: b, delay: banana}]"),
        ("network", "networks: [{src: a, dst: b, loss: foo%}]"),
        ("network", "networks: [{src: a}]"),
        ("workflow", "- {hosts: a, lanch: []}"),
        ("workflow", "- {hosts: a, depends_on: {}}"),
        ("workflow", "- {hosts: a, depends_on: [{service_selector: a, prefix: 1a}]}"),
        ("workflow", "- {hosts: a, launch: [{shel: ls}]}"),
        ("workflow", "- {hosts: a, launch: [{copy: {scr: a, dest: b}}]}"),
        ("workflow", "- {hosts: a, launch: [{block: [{shell: ls, nmae: x}]}]}"),
        ("workflow_env", "a: {b-c: 1}"),
        ("providers", "local: [g5kk]"),
    ],
)
def test_schemas_refuse_what_is_wrong(kind, text):
    """So that an editor underlines it."""
    text = text.replace("2026-01-31 19:00:00", "'2026-01-31 19:00:00'")
    assert not validator(kind).is_valid(yaml.safe_load(text))


def test_schemas_accept_what_only_ansible_runs():
    """Modules by their long names, loops of lookups, blocks."""
    tasks = "[{community.docker.docker_container: {name: a}}, {block: [{apt: git, with_nested: [a]}]}]"
    validator("workflow").validate(yaml.safe_load(f"- {{hosts: a, become: true, prepare: {tasks}}}"))


def test_every_key_says_what_it_means():
    """Editors show the descriptions."""
    for kind in FILES.values():
        if isinstance(kind, Nested):
            assert all(each.about.endswith((".", "*")) for each in kind.model.known_keys().values())
