"""Templates without Jinja2: what it would make of them, and what is left to it."""

import subprocess
import sys

from hypothesis import example, given
from hypothesis import strategies as st

from optiprov.deploy import jinja_templates, plain_templates
from optiprov.deploy.jinja_names import uses_of
from optiprov.deploy.plain_templates import NOT_PLAIN
from optiprov.deploy.template_names import uses
from optiprov.deploy.template_values import OMIT, TemplateError

VARIABLES = {
    "a": "text",
    "b": {"c": 3, "items": [1, 2], "a": {"a": None}},
    "range": True,
    "number": 1.50,
    "omit": OMIT,
    "braces": "{{ a }}",
    "loop": 1,
}
PIECES = [
    "{{ a }}",
    "{{a}}",
    "{{ b.c }}",
    "{{ b.items }}",
    "{{ b.a.a }}",
    "{{ range }}",
    "{{ omit }}",
    "{{ braces }}",
]
PIECES += [
    "{{ number }}",
    "{{ missing }}",
    "{{ b.missing }}",
    "{{ true }}",
    "{{ loop }}",
    "{{ not a }}",
    "{{ a | upper }}",
]
PIECES += [
    "{{- a }}",
    "{{ a",
    "a }}",
    "{",
    "}",
    "{%",
    "%}",
    "{#",
    "#}",
    "\n",
    "\r\n",
    " ",
    "\\",
    "'",
    "é",
    "$x",
    "\u00a0",
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=6).map("".join)


def _by_jinja(render, text):
    try:
        return render(text)
    except TemplateError:
        return TemplateError


@given(TEXTS)
@example("{{{ a }}}")
@example("{{ a }}\n")
@example(" {{ b.items }} ")
def test_rendered_is_what_jinja_makes_of_it_when_plain(text):
    """Whatever is rendered without Jinja2 is what Jinja2 renders, with its type."""
    value = plain_templates.rendered(text, VARIABLES)
    if value is not NOT_PLAIN:
        expected = _by_jinja(lambda text: jinja_templates.render_text(text, VARIABLES), text)
        assert (type(value), value) == (type(expected), expected)


@given(TEXTS)
@example("{{ a }}\n")
def test_content_is_what_jinja_makes_of_it_when_plain(text):
    """The content of a file too, whose white space stays."""
    value = plain_templates.rendered_content(text, VARIABLES)
    if value is not NOT_PLAIN:
        expected = _by_jinja(
            lambda text: jinja_templates.render_content(
                text, VARIABLES, (), trim_blocks=True, lstrip_blocks=False
            ),
            text,
        )
        assert value == expected


@given(TEXTS)
def test_uses_are_those_that_jinja_finds_when_plain(text):
    """Checking finds the same variables either way, on the same lines."""
    if plain_templates.parts(text) is not None and "{" in text:
        assert uses(text) == uses_of(text)
        assert jinja_templates.syntax_problem(text) is None


def test_plain_templates_are_most_that_scenarios_have():
    """What the shipped scenarios say of paths and names is rendered without Jinja2."""
    for text in (
        "{{ working_dir }}/data",
        "{{ _self.url }}",
        "touch {{ env_name }}.txt",
        "{{ optimization_config.lr }}",
    ):
        assert plain_templates.parts(text) is not None


def test_plain_scenario_is_deployed_without_jinja(tmp_path):
    """A scenario of plain templates alone never imports Jinja2, which would double its time."""
    scenario = tmp_path / "scenario"
    scenario.mkdir()
    (scenario / "layers_services.yaml").write_text(
        "environment: {local: {}}\nlayers: [{name: edge, services: [{name: one}]}]\n"
    )
    (scenario / "workflow.yaml").write_text(
        "- hosts: all\n  launch:\n    - shell: echo {{ _self.layer_id }} > {{ working_dir }}/answer\n"
    )
    program = (
        "import sys; from optiprov.deploy import Experiment; from pathlib import Path\n"
        "experiment = Experiment.create(Path(sys.argv[1]), None)\n"
        "experiment.layers_services(); experiment.prepare(); experiment.launch()\n"
        "print(next(experiment.directory.glob('**/answer')).read_text().strip())\n"
        "experiment.finalize(); experiment.destroy()\n"
        "print('jinja2' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, scenario], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["1", "False"]
