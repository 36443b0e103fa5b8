"""The JSON Schemas say of a file what reading it says, as far as a schema can."""

import datetime
import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from optiprov.deploy.json_schema import FILES, file_schema
from optiprov.deploy.kinds import Place
from optiprov.deploy.models.base import Nested
from optiprov.deploy.problems import Problems
from optiprov.deploy.yaml_source import YamlSource

from .conftest import SCENARIOS
from .test_properties import ODD_VALUES, SEEDS, places, replaced
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


VALIDATORS = {name: validator(name.removesuffix(".yaml")) for name in SEEDS}
DOCUMENTS = {
    name: yaml.safe_load(text.replace("2026-01-31 19:00:00", "'2026-01-31 19:00:00'"))
    for name, text in SEEDS.items()
}
VALUES = [value for value in ODD_VALUES if not isinstance(value, bytes | datetime.date)]


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_schemas_accept_odd_values_where_reading_does(data):
    """What is read without a problem, no editor underlines; tasks, which others read, left out."""
    name = data.draw(st.sampled_from(sorted(SEEDS)))
    stages = {"prepare", "launch", "finalize"}
    where = [
        at for at in places(DOCUMENTS[name]) if not stages & {part for part in at if isinstance(part, str)}
    ]
    document = replaced(
        DOCUMENTS[name], data.draw(st.sampled_from(where)), data.draw(st.sampled_from(VALUES))
    )
    problems = Problems()
    source = YamlSource(Path(name), document, {})
    FILES[name.removesuffix(".yaml")].read(document, Place(source, (), problems))
    if not problems.found:
        VALIDATORS[name].validate(json.loads(json.dumps(document)))


def test_every_key_says_what_it_means():
    """Editors show the descriptions."""
    for kind in FILES.values():
        if isinstance(kind, Nested):
            assert all(each.about.endswith((".", "*")) for each in kind.model.known_keys().values())
