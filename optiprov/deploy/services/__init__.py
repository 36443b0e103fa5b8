"""Services that users write: a class that installs and starts a system on the hosts of a scenario's service.

`Service` is what they subclass, `Roles` what groups its hosts, `ServiceHost` one of them. A class is found by
the name of the service (`optiprov.deploy.services.finding`), run when the hosts are there (`deploying`), and
what it registers is what patterns select from then on (`registration`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optiprov.deploy.services.base import Service
    from optiprov.deploy.services.container import Container
    from optiprov.deploy.services.hosts import ServiceHost
    from optiprov.deploy.services.mosquitto import Mosquitto
    from optiprov.deploy.services.processes import Ran, Running
    from optiprov.deploy.services.provenance import Provenance
    from optiprov.deploy.services.roles import Roles

_HOMES = {
    "Container": "optiprov.deploy.services.container",
    "Mosquitto": "optiprov.deploy.services.mosquitto",
    "Provenance": "optiprov.deploy.services.provenance",
    "Ran": "optiprov.deploy.services.processes",
    "Roles": "optiprov.deploy.services.roles",
    "Running": "optiprov.deploy.services.processes",
    "Service": "optiprov.deploy.services.base",
    "ServiceHost": "optiprov.deploy.services.hosts",
}

__all__ = ["Container", "Mosquitto", "Provenance", "Ran", "Roles", "Running", "Service", "ServiceHost"]


def __getattr__(name: str) -> Any:
    """Import a public name on its first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(
            f"module 'optiprov.deploy.services' has no attribute {name!r}; it has {', '.join(__all__)}"
        )
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
