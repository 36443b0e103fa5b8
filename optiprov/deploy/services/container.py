"""The service `Container`: a container of an image on each of its hosts, where Docker answers."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import zlib
from typing import TYPE_CHECKING, Any

from optiprov.deploy.services.base import Service
from optiprov.errors import DeploymentError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from optiprov.deploy.services.hosts import ServiceHost

_ASK = ("docker", "version", "--format", "{{.Server.Version}}")
_ASK_TIMEOUT_S = 20.0
_IS_RUNNING = "docker inspect --format '{{{{.State.Running}}}}' {} 2>/dev/null | grep -q true"
_START_TIMEOUT_S = 600.0  # the image may have to be pulled
_WAY_ON = "Start it (systemctl start docker), or have the service without a container."
_PORT = re.compile(r"\d+(:\d+)?(/udp|/tcp)?")


class Container(Service):
    """A container of the image that the key `image` names, by the Docker of each of its hosts.

    `command` is what runs in it, `ports` what it listens at, `volumes` what it sees of the host, `env` its
    variables. A port alone is published at the port of the host, `8080:80` at 8080. It ends with the
    experiment, as `docker run` hands SIGTERM on to it.
    """

    def deploy(self) -> None:
        """See that Docker answers, start the container, wait for its first port, and register its url."""
        self.deploy_docker()
        for host in self.hosts:
            name = _container_name(host)
            host.run(["docker", "rm", "--force", name], check=False, name="docker-rm")
            host.start(container_command(self.service_metadata, host, name), name="docker-run")
        ports = _ports(self.service_metadata)
        for host in self.hosts:
            # Docker listens at the port before the container does.
            name = _container_name(host)
            host.wait_until(_IS_RUNNING.format(name), f"container {name} runs", timeout_s=_START_TIMEOUT_S)
            published = _published(ports[0], host) if ports else None
            if published is not None and not ports[0].endswith("/udp"):
                host.wait_for_port(published)
            self.register_service(
                hosts=[host], service_port=published, extra=[{"container": _container_name(host)}]
            )

    @classmethod
    def misfits(cls, service_metadata: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """An image is needed; ports are ports."""
        image = service_metadata.get("image")
        if image is None:
            yield "image", "the key 'image' is missing, which a service Container needs. Add it."
        elif not isinstance(image, str):
            yield "image", f"got {image!r}, expected an image, such as nginx:1.27."
        for key in ("ports", "volumes"):
            given = service_metadata.get(key)
            if given is not None and not isinstance(given, list):
                yield key, f"got {given!r}, expected a list."
        alone = 0
        for port in _ports(service_metadata):
            alone += ":" not in port
            if not _PORT.fullmatch(port):
                yield "ports", f"got {port!r}, expected a port or HOST:CONTAINER, such as 8080:80."
        if alone > 1:
            yield (
                "ports",
                "one port alone is published at the port of the host. Write others as HOST:CONTAINER.",
            )
        command = service_metadata.get("command")
        if command is not None and not isinstance(command, str | list):
            yield "command", f"got {command!r}, expected a text or a list."

    @classmethod
    def obstacle(cls) -> str | None:
        """Docker does not answer on this machine."""
        if shutil.which("docker") is None:
            return f"docker is not installed on this machine. {_WAY_ON.replace('Start it', 'Install it', 1)}"
        try:
            asked = subprocess.run(_ASK, capture_output=True, text=True, timeout=_ASK_TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired:
            return f"no docker daemon answers on this machine in {_ASK_TIMEOUT_S:g} s. {_WAY_ON}"
        if asked.returncode != 0:
            return f"no docker daemon answers on this machine: {_last_line(asked.stderr)} {_WAY_ON}"
        return None


def require_docker(host: ServiceHost) -> None:
    """See that Docker answers on a host.

    Raises:
        DeploymentError: It does not.
    """
    asked = host.run(shlex.join(_ASK), check=False, timeout_s=_ASK_TIMEOUT_S, name="docker-version")
    if asked.status != 0:
        raise DeploymentError(
            f"no docker daemon answers on host {host.id}: {_last_line(asked.stderr)} {_WAY_ON}"
        )


def container_command(metadata: Mapping[str, Any], host: ServiceHost, name: str) -> list[str]:
    """The command that runs the container on a host.

    Its variables have their values from the environment, so that no list of processes shows them.
    """
    command = ["docker", "run", "--rm", "--init", "--name", name]
    for variable in host.env:
        command += ["--env", variable]
    for port in _ports(metadata):
        inner = port.rpartition(":")[2]
        command += ["--publish", f"{host.address}:{_published(port, host)}:{inner}"]
    for volume in metadata.get("volumes") or ():
        source, _, target = str(volume).partition(":")
        absolute = source if source.startswith("/") else f"{host.working_dir}/{source}"
        command += ["--volume", f"{absolute}:{target}"]
    given = metadata.get("command") or []
    arguments: Sequence[Any] = shlex.split(given) if isinstance(given, str) else given
    return [*command, str(metadata["image"]), *map(str, arguments)]


def _ports(metadata: Mapping[str, Any]) -> list[str]:
    given = metadata.get("ports")
    return [str(port) for port in given] if isinstance(given, list) else []


def _published(port: str, host: ServiceHost) -> int:
    outer, colon, _ = port.partition(":")
    return int(outer) if colon else host.port


def _container_name(host: ServiceHost) -> str:
    """What it is called: host ids of several deployments may be the same, their directories are not."""
    return f"optiprov-{host.id}-{zlib.crc32(host.working_dir.encode()):08x}"


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    last = lines[-1] if lines else "it says nothing"
    return last if last.endswith((".", "?", "!")) else f"{last}."
