"""Where hosts come from: one provider a testbed."""

from optiprov.deploy.providers.base import Host, Provider
from optiprov.deploy.providers.local import LocalProvider

PROVIDERS: dict[str, type[Provider]] = {
    "local": LocalProvider,
}

__all__ = ["PROVIDERS", "Host", "Provider"]
