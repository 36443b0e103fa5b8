"""What users subclass to have a system deployed on the hosts of a scenario's service."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from optiprov.deploy.services.hosts import PORT_TIMEOUT_S, RUN_TIMEOUT_S, ServiceHost
from optiprov.deploy.services.registering import Registry
from optiprov.deploy.services.roles import Roles, unique
from optiprov.errors import DeploymentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from optiprov.deploy.services.processes import Ran, Running

T = TypeVar("T")
_SIDE_BY_SIDE = 16


class Service:
    """A system that is deployed on the hosts of a service, such as a broker, a database or a cluster.

    Subclass it, write `deploy`, and give the class or its file the name that the service has in
    layers_services.yaml. One object is made for each service, `repeat` counted, with its hosts, once they are
    there. Its interface is that of E2Clab's class.

    Args:
        hosts: The hosts of the service.
        service_metadata: The keys of the service, with `name`, `_id`, `layer_name`, `layer_id`, `service_id`.

    Attributes:
        hosts: The hosts, in order.
        roles: Names for some of them; `all` is all of them.
        service_metadata: The keys of the service in layers_services.yaml.
        env: Its environment variables, templates filled in.
        layer_name: The layer's name.
        layer_id: The layer's number, from 1.
        service_name: The service's name.
        service_id: The service's number in its layer, from 1.
        service_extra_info: What is registered: the keys of `_self`, by the id.
        service_roles: What is registered: the hosts, by the id.
        logger: For messages to whoever deploys.
    """

    def __init__(self, hosts: Sequence[ServiceHost], service_metadata: Mapping[str, Any]) -> None:
        self.hosts = list(hosts)
        self.roles = Roles({"all": self.hosts})
        self.service_metadata = service_metadata
        self.env: dict[str, Any] = dict(service_metadata.get("env") or {})
        self.layer_name = str(service_metadata["layer_name"])
        self.layer_id = int(service_metadata["layer_id"])
        self.service_name = str(service_metadata["name"])
        self.service_id = int(service_metadata["service_id"])
        self._registry = Registry(self.layer_name, self.service_name, str(service_metadata["_id"]))
        self.service_extra_info = self._registry.infos
        self.service_roles = self._registry.hosts
        self.logger = logging.getLogger(f"optiprov.services.{type(self).__name__}")

    def deploy(self) -> Any:
        """Install and start the system, and register what is to be known of it. To be written.

        What it returns is of no matter; E2Clab's older form returns `service_extra_info` and `service_roles`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no deploy(). Write it.")

    def register_service(
        self,
        hosts: Any = None,
        roles: Any = None,
        service_port: int | str | None = None,
        sub_service: str | None = None,
        extra: Sequence[Mapping[str, Any] | None] | None = None,
        *,
        _roles: Any = None,
    ) -> tuple[dict[str, dict[str, Any]], Roles]:
        """Say where the system is to be found: patterns select what is registered, `_self` has its keys.

        Hosts that are registered as part of a sub service are selected as such, by
        `layer.service.service_id.sub_service.number`; one host may be several. Hosts of the service that are
        not registered, where others are, are not selected at all, as in E2Clab.

        Args:
            hosts: The hosts, by default all of the service.
            roles: The same as a mapping of roles, whose names select the hosts too.
            service_port: The port of their `url`, by default the host's own.
            sub_service: What they are a part of, such as `master`.
            extra: Further keys of `_self`, a mapping for each host.
            _roles: Another spelling of `roles`, which older services have.

        Returns:
            All that is registered so far: the keys, and the hosts, by the id.

        Raises:
            DeploymentError: A host is not one of the service, or what is given is of another shape.
        """
        given = [each for each in (hosts, roles, _roles) if each is not None]
        chosen = unique(given[0]) if given else self.hosts
        for host in chosen:
            if not any(host is own for own in self.hosts):
                raise DeploymentError(
                    f"register_service: got {host!r}, expected hosts of the service: some of self.hosts."
                )
        names = {id(host): self._names(host, given[0]) for host in chosen} if given else {}
        self._registry.add(chosen, names, service_port, sub_service, extra)
        return self.service_extra_info, self.service_roles

    def run(
        self,
        command: str | Sequence[str],
        hosts: Any = None,
        *,
        name: str | None = None,
        env: Mapping[str, object] | None = None,
        chdir: str | None = None,
        timeout_s: float | None = RUN_TIMEOUT_S,
        check: bool = True,
    ) -> list[Ran]:
        """Run a command on hosts, side by side, to its end.

        Args:
            command: A line for the host's shell, or a program and its arguments.
            hosts: Which hosts, by default all of the service; a host, a list or roles.
            name: What its logs are called; by default the program.
            env: Variables beside the service's.
            chdir: Its directory, by default the working directory.
            timeout_s: How long it may take; None is without limit.
            check: Whether a status other than 0 is an error.

        Returns:
            What became of it on each host.

        Raises:
            DeploymentError: It failed on a host, or took too long.
        """
        return self._each(
            hosts,
            lambda host: host.run(command, name=name, env=env, chdir=chdir, timeout_s=timeout_s, check=check),
        )

    def start(
        self,
        command: str | Sequence[str],
        hosts: Any = None,
        *,
        name: str | None = None,
        env: Mapping[str, object] | None = None,
        chdir: str | None = None,
    ) -> list[Running]:
        """Start a process on hosts, which goes on until the experiment is finalized or destroyed.

        It has to stay in the foreground: a program that makes itself a daemon is ended as well, but when it
        ends by itself nobody notices. Arguments as of `run`.
        """
        return self._each(hosts, lambda host: host.start(command, name=name, env=env, chdir=chdir))

    def stop(self, hosts: Any = None, *, name: str | None = None) -> None:
        """End what was started on hosts: all of it, or what has a name."""
        self._each(hosts, lambda host: host.stop(name))

    def copy(self, src: str, dest: str, hosts: Any = None, *, mode: int | None = None) -> None:
        """Copy a file or directory of the artifacts, or else of the scenario, to hosts.

        Raises:
            DeploymentError: There is no such file, or a host refuses it.
        """
        self._each(hosts, lambda host: host.copy(src, dest, mode=mode))

    def write(self, text: str, dest: str, hosts: Any = None, *, mode: int | None = None) -> None:
        """Write a text into a file of hosts.

        Raises:
            DeploymentError: A host refuses it.
        """
        self._each(hosts, lambda host: host.write(text, dest, mode=mode))

    def wait_for_port(
        self, port: int | None = None, hosts: Any = None, *, timeout_s: float = PORT_TIMEOUT_S
    ) -> None:
        """Wait until something listens at a port of hosts, by default at the port of each.

        Raises:
            DeploymentError: Nothing does in time, or what was started there has failed.
        """
        self._each(hosts, lambda host: host.wait_for_port(port, timeout_s=timeout_s))

    def deploy_docker(self, hosts: Any = None, **_options: Any) -> None:
        """See that Docker answers on hosts; it is not installed, as E2Clab's method of this name does.

        Raises:
            DeploymentError: It does not.
        """
        from optiprov.deploy.services.container import require_docker

        self._each(hosts, require_docker)

    @classmethod
    def misfits(cls, service_metadata: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """What is wrong with the keys of a service: a key and a message. Asked of those that ship only."""
        del service_metadata
        return iter(())

    @classmethod
    def obstacle(cls) -> str | None:
        """Why it cannot be deployed on this machine, None if it can. Asked of those that ship only."""
        return None

    @property
    def registrations(self) -> Registry:
        """What is registered."""
        return self._registry

    def _each(self, hosts: Any, do: Callable[[ServiceHost], T]) -> list[T]:
        chosen = self.hosts if hosts is None else unique(hosts)
        if len(chosen) == 1:
            return [do(chosen[0])]
        pool = ThreadPoolExecutor(min(_SIDE_BY_SIDE, max(len(chosen), 1)))
        try:
            return [each.result() for each in [pool.submit(do, host) for host in chosen]]
        finally:  # after a failure or Ctrl-C nobody waits for the others; what they run is ended
            pool.shutdown(wait=False, cancel_futures=True)

    @staticmethod
    def _names(host: ServiceHost, given: Any) -> list[str]:
        """The roles in which a host was given."""
        if not isinstance(given, dict):
            return []
        return [str(role) for role, its in given.items() if role != "all" and host in unique(its)]
