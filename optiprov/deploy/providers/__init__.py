"""Where hosts come from: one provider a testbed."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from optiprov.deploy.providers.base import Provider

PROVIDERS = {
    "local": "optiprov.deploy.providers.local:LocalProvider",
    "static": "optiprov.deploy.providers.static:StaticProvider",
    "g5k": "optiprov.deploy.providers.g5k:G5kProvider",
    "iotlab": "optiprov.deploy.providers.iotlab:IotLabProvider",
}
"""The testbeds that have a provider, and its class, imported on deploying: checking needs no more."""

RESERVED = ("g5k", "iotlab")
"""Those whose machines are reserved, through EnOSlib."""

NO_MACHINE = (
    "no machine is named for the host {host}. Name machines in `environment: static: hosts`, or its own in "
    "the `servers` of its service."
)
"""What is said of a host of the testbed `static` for which there is no machine."""


def make_provider(testbed: str) -> Provider:
    """The provider of a testbed's hosts, for one deployment."""
    module, _, name = PROVIDERS[testbed].partition(":")
    return cast("Provider", getattr(import_module(module), name)())
