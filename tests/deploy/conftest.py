from pathlib import Path

import pytest
import yaml

from optiprov.deploy import Deployment, load_scenario

from .ssh_machines import SshMachines, require_machines

SCENARIOS = Path(__file__).parent / "scenarios"

LAYERS = """\
environment:
  job_name: test
  local:
layers:
  - name: cloud
    services:
      - name: Master
  - name: edge
    services:
      - name: Worker
"""


@pytest.fixture
def write_scenario(tmp_path):
    """Writes the files of a scenario and returns its directory."""

    def write(workflow="[]\n", layers=LAYERS, **others):
        directory = tmp_path / "scenario"
        directory.mkdir(exist_ok=True)
        (directory / "layers_services.yaml").write_text(layers)
        (directory / "workflow.yaml").write_text(workflow)
        for name, text in others.items():
            (directory / f"{name}.yaml").write_text(text)
        return directory

    return write


@pytest.fixture
def deploy(tmp_path, write_scenario):
    """Makes a deployment of a workflow (or of a scenario's directory) that is finalized at the end."""
    deployments = []

    def make(workflow="[]\n", layers=LAYERS, *, scenario=None, **arguments):
        loaded = load_scenario(scenario or write_scenario(workflow, layers))
        directory = arguments.pop("directory", tmp_path / f"deployment-{len(deployments)}")
        deployment = Deployment(loaded, directory, **arguments)
        deployments.append(deployment)
        return deployment

    yield make
    for deployment in deployments:
        deployment.stop()
        deployment.finalize()


@pytest.fixture(scope="session")
def machines(tmp_path_factory):
    """Makes machines that are reached by SSH."""
    require_machines()
    made = SshMachines(tmp_path_factory.mktemp("machines"))
    yield made
    made.remove()


@pytest.fixture(scope="session")
def pair(machines):
    """Two machines; each test leaves them as they were."""
    return machines.make(), machines.make()


@pytest.fixture
def static_layers(machines, pair):
    """Writes layers_services.yaml with the layers of LAYERS on machines: the pair, or others."""

    def text(*others, layers=None, **more):
        environment = {"job_name": "test", "static": machines.testbed(*(others or pair), **more)}
        return yaml.safe_dump(
            {"environment": environment, "layers": layers or yaml.safe_load(LAYERS)["layers"]}
        )

    return text
