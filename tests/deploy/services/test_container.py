"""The service `Container` with a real Docker daemon, in a network namespace of its own."""

import io
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.waiting import wait_until

BUSYBOX = Path("/bin/busybox")
IMAGE = "busybox:test"
BEGIN = 'ip link set lo up && exec "$@"'
LAYERS = """\
environment: {local: {share: DAEMON}}
layers:
- name: cloud
  services:
  - {name: Container, image: "busybox:test", command: "/busybox httpd -f -p 80 -h /site", ports: [80],
     volumes: ["site:/site"], env: {DOCKER_HOST: SOCKET}}
- {name: edge, services: [{name: Client}]}
"""
WORKFLOW = """\
- hosts: cloud
  prepare:
  - shell: echo served > site/index.html
- hosts: edge
  depends_on: [{service_selector: cloud, grouping: round_robin, prefix: web}]
  launch:
  - shell: "{{ python }} -c \\"import urllib.request as r; print(r.urlopen('http://{{ web.url }}').read())\\""
"""


class Daemon:
    """A Docker daemon whose network nobody else sees.

    Args:
        directory: What it keeps, a path short enough for a socket.
    """

    def __init__(self, directory):
        self.directory = directory
        self.url = f"unix://{directory}/socket"
        self.log = directory / "dockerd.log"
        options = [f"--data-root={directory}/data", f"--exec-root={directory}/run", "--storage-driver=vfs"]
        options += [
            f"--pidfile={directory}/pid",
            "--iptables=false",
            "--ip6tables=false",
            f"--host={self.url}",
        ]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                ["unshare", "--net", "--", "sh", "-c", BEGIN, "sh", "dockerd", *options],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def answers(self):
        """Whether it does."""
        return self.docker("version").returncode == 0

    @property
    def has_ended(self):
        """Whether it ended, which it has no reason to."""
        return self._process.poll() is not None

    def docker(self, *arguments, **more):
        """Run the client."""
        return subprocess.run(
            ["docker", "--host", self.url, *arguments], capture_output=True, check=False, **more
        )

    def inside(self, *command):
        """A command in its network."""
        return ["nsenter", f"--net=/proc/{self._process.pid}/ns/net", "--", *command]

    def end(self):
        """End it, and what it has running."""
        self._process.terminate()
        self._process.wait(60)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    """A daemon with one image, made of a single program."""
    if os.getuid() != 0 or shutil.which("dockerd") is None or not BUSYBOX.exists():
        pytest.skip("needs root, and the packages docker.io and busybox-static")
    one = Daemon(tmp_path_factory.mktemp("d"))
    wait_until(lambda: one.answers or one.has_ended)
    if one.has_ended:
        pytest.skip(f"no Docker daemon runs on this machine: {one.log.read_text().splitlines()[-1]}")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(BUSYBOX, "busybox")
    imported = one.docker("import", "-", IMAGE, input=archive.getvalue())
    assert imported.returncode == 0, imported.stderr
    yield one
    one.end()


@pytest.fixture
def optiprov(daemon):
    """Runs a command of ours in the daemon's network; returns what it says, its status first."""

    def run(*arguments):
        done = subprocess.run(
            daemon.inside(sys.executable, "-m", "optiprov.cli", *map(str, arguments)),
            env={**os.environ, "DOCKER_HOST": daemon.url},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stderr

    return run


@pytest.fixture
def write_containers(daemon, write_scenario):
    """Writes a scenario with the container."""

    def write(layers=LAYERS):
        workflow = WORKFLOW.replace("{{ python }}", sys.executable)
        return write_scenario(
            workflow, layers.replace("DAEMON", str(daemon.directory)).replace("SOCKET", daemon.url)
        )

    return write


def test_container_serves_other_hosts_and_ends_with_the_experiment(daemon, optiprov, write_containers):
    """A real container: it runs when deploying has ended, serves its host's directory, and is gone then."""
    scenario = write_containers()
    status, told = optiprov("layers-services", scenario)
    assert status == 0, told
    running = daemon.docker("ps", "--format", "{{.Names}} {{.Image}} {{.Ports}}", text=True).stdout
    assert running.startswith("optiprov-cloud.container.1.1-")
    assert f" {IMAGE} 127.0.0.1:" in running
    for stage in ("prepare", "launch"):
        status, told = optiprov("workflow", scenario, stage)
        assert status == 0, told
    (output,) = scenario.glob("2*/logs/edge.client.1.1/launch-*.out")
    assert output.read_text() == "b'served\\n'\n"
    assert optiprov("destroy", scenario)[0] == 0
    wait_until(lambda: daemon.docker("ps", "--all", "--quiet").stdout == b"")


def test_image_that_cannot_be_had_fails_deploying(daemon, optiprov, write_containers):
    """With what Docker says, at once; nothing is left."""
    status, told = optiprov(
        "layers-services", write_containers(LAYERS.replace(IMAGE, "nowhere.invalid/none:1"))
    )
    assert status == 1
    assert "docker-run on host cloud.container.1.1" in told
    assert "nowhere.invalid" in told
    assert daemon.docker("ps", "--all", "--quiet").stdout == b""
