"""Scenarios with services of their own, and where the user's are."""

import os

import pytest

from optiprov.deploy import Experiment, check_scenario
from tests.deploy.conftest import write_scenario

__all__ = ["write_scenario"]

LAYERS = """\
environment: {local: }
layers:
- {name: cloud, services: [{name: Board, quantity: 2, memory: 512, env: {PLACE: "{{ _self.host_id }}"}}]}
- {name: edge, services: [{name: Client}]}
"""


@pytest.fixture(autouse=True)
def _users_own(monkeypatch, tmp_path):
    """A user who has added nothing, and nothing of ours in the environment."""
    for name in list(os.environ):
        if name.startswith(("OPTIPROV_", "PROVLIGHT_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture
def write_services(write_scenario):
    """Writes a scenario with files of services in its artifacts, and returns its directory."""

    def write(files, workflow="[]\n", layers=LAYERS):
        scenario = write_scenario(workflow, layers)
        artifacts = scenario / "artifacts"
        artifacts.mkdir(exist_ok=True)
        for name, text in files.items():
            (artifacts / f"{name}.py").write_text(text)
        return scenario

    return write


@pytest.fixture
def check_services(write_services):
    """Checks a scenario with files of services: the scenario (None with problems), and the problems."""

    def check(files, workflow="[]\n", layers=LAYERS):
        checked = check_scenario(write_services(files, workflow, layers))
        return checked.scenario, [str(problem) for problem in checked.problems]

    return check


@pytest.fixture
def begin_experiment():
    """Makes experiments, which are destroyed at the end."""
    made = []

    def begin(scenario):
        made.append(Experiment.create(scenario, None))
        return made[-1]

    yield begin
    for experiment in made:
        Experiment.destroy_at(experiment.directory)
