"""Deploys the services of a scenario that have a class: one after the other, in the order of the scenario."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from optiprov.deploy.processes import StoppedError
from optiprov.deploy.services.hosts import ServiceHost, make_host
from optiprov.deploy.services.loading import imports_for, load_class, reason, where
from optiprov.deploy.services.registration import DeployedService
from optiprov.deploy.templating import TemplateError, render
from optiprov.deploy.watchdog import start_time
from optiprov.errors import DeploymentError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from optiprov.deploy.providers.base import Host
    from optiprov.deploy.services.sources import ServiceSource
    from optiprov.deploy.variables import Variables
    from optiprov.deploy.workbench import Workbench

_MOST_LISTED = 3


def deploy_services(
    hosts: Sequence[Host], workbench: Workbench, variables: Variables
) -> list[DeployedService]:
    """Deploy them; the first that fails is the last.

    Args:
        hosts: The hosts of the deployment, in order.
        workbench: What is done there is done with.
        variables: What templates know of these hosts.

    Raises:
        DeploymentError: One failed; the message says where, and which class, service and host.
    """
    deployed = []
    for source, its in _with_a_class(hosts, workbench):
        deployed.append(_deploy(source, its, workbench, variables))
    return deployed


def _with_a_class(hosts: Sequence[Host], workbench: Workbench) -> Iterator[tuple[ServiceSource, list[Host]]]:
    sources = workbench.scenario.services
    for _, its in groupby(hosts, lambda host: (host.placement.layer_id, host.placement.service_id)):
        of_service = list(its)
        source = sources.get(of_service[0].placement.service)
        if source is not None:
            yield source, of_service


def _deploy(
    source: ServiceSource, hosts: Sequence[Host], workbench: Workbench, variables: Variables
) -> DeployedService:
    first = hosts[0].placement
    service_id = f"{first.layer}.{first.service}.{first.service_id}".lower()
    named = f"class {source.class_name} of the service {service_id}"
    made: list[ServiceHost] = []
    try:
        made += [make_host(host, workbench, _environment(host, variables)) for host in hosts]
        service = load_class(source)(made, _metadata(hosts, made))
        with imports_for(source):
            service.deploy()
        registrations = tuple(service.registrations.all())
    except StoppedError:
        raise DeploymentError(f"{source.place}: {named} was stopped while it was deployed.") from None
    except (DeploymentError, TemplateError) as error:
        raise DeploymentError(f"{where(source, error)}: {named} failed: {error}") from error
    except (Exception, SystemExit) as error:  # the boundary to code of users
        message = f"{where(source, error)}: {named} failed on {_listed(hosts)}: {reason(error)}"
        raise DeploymentError(message) from error
    return DeployedService(
        service_id,
        f"{source.class_name} ({source.origin}, {source.path or source.module})",
        tuple(host.id for host in hosts),
        registrations,
        {one.pid: start_time(one.pid) for host in made for one in host.running},
    )


def _environment(host: Host, variables: Variables) -> dict[str, str]:
    rendered = render(dict(host.placement.env), variables.of_host(host))
    return {str(name): str(value) for name, value in rendered.items()}


def _metadata(hosts: Sequence[Host], made: Sequence[ServiceHost]) -> dict[str, Any]:
    """The keys of a service, with those that E2Clab adds."""
    placement = hosts[0].placement
    return {
        **placement.metadata,
        "name": placement.service,
        "environment": placement.environment,
        "quantity": len(hosts),
        "roles": list(placement.roles),
        "env": dict(made[0].env),
        "_id": f"{placement.layer_id}_{placement.service_id}",
        "layer_name": placement.layer,
        "layer_id": placement.layer_id,
        "service_id": placement.service_id,
    }


def _listed(hosts: Sequence[Host]) -> str:
    shown = [host.id for host in hosts[:_MOST_LISTED]]
    return ", ".join(shown) + (f" and {len(hosts) - _MOST_LISTED} more" if len(hosts) > _MOST_LISTED else "")
