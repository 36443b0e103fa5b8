import json
import shlex
import subprocess

import pytest

from optiprov.deploy import Deployment, load_scenario
from optiprov.deploy.network.host_network import NETWORK_VARIABLE, end_network
from optiprov.deploy.watchdog import find_processes
from tests.networks import require_networks

from .namespaces import Bridge

LAYERS = """\
environment: {job_name: apart, local: {isolation: netns}}
layers:
- {name: edge, services: [{name: W, quantity: 3, roles: [provenance]}]}
"""


@pytest.fixture(scope="session", autouse=True)
def namespaces():
    """All of it needs hosts with a network of their own."""
    require_networks()


@pytest.fixture
def scenario(write_scenario):
    """Three hosts with a network of their own."""
    return load_scenario(write_scenario(layers=LAYERS))


@pytest.fixture
def deploy_apart(tmp_path, scenario):
    """Deploys three hosts with a network of their own, destroyed at the end."""
    deployments = []

    def make(**arguments):
        directory = tmp_path / f"apart-{len(deployments)}"
        deployment = Deployment(scenario, arguments.pop("directory", directory), **arguments)
        deployments.append(deployment)
        if deployment.is_journalled:
            deployment.attach()
        else:
            deployment.deploy()
        return deployment

    yield make
    for deployment in deployments:
        deployment.destroy()
        end_network(deployment.id)


def start_on(host, command):
    """Start a shell command on a host; its output is a pipe's."""
    return subprocess.Popen(
        host.enclosed([host.shell, "-c", command]),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def run_on(host, command):
    """The output of a shell command that succeeds on a host."""
    process = start_on(host, command)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    return output


def python(code, *arguments):
    """The shell command that runs code by the Python of the host."""
    return shlex.join(["python3", "-c", code, *map(str, arguments)])


def network_processes(deployment):
    """What keeps the network of a deployment."""
    return find_processes((f"{NETWORK_VARIABLE}={deployment.id}",), set())


def state_of(deployment):
    """The state that the keeper of the network writes."""
    return json.loads((deployment.directory / "network" / "keeper.json").read_text())


@pytest.fixture
def bridge():
    """Makes hosts on a bridge, without a deployment, which are gone at the end."""
    made = []

    def make(count=2):
        made.append(Bridge(count))
        return made[-1].hosts

    yield make
    for one in made:
        one.close()
