"""The file providers.yaml: which providers stand in for a scenario's testbeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optiprov.deploy.frozen import frozen
from optiprov.deploy.kinds import Choice, ListOf
from optiprov.deploy.models.base import Model, key
from optiprov.deploy.models.environment import TESTBEDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_TESTBEDS = ListOf(Choice(TESTBEDS), or_one=True)


@frozen(kw_only=True)
class ProvidersFile(Model):
    """The file providers.yaml: a provider, and the testbeds that it stands in for."""

    local: tuple[str, ...] = key(_TESTBEDS, "Testbeds whose hosts are on this machine.", default=())
    static: tuple[str, ...] = key(_TESTBEDS, "Testbeds whose hosts are reached by SSH.", default=())

    @classmethod
    def misfits(cls, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """A testbed has one provider."""
        local, static = (values.get(name, ()) for name in ("local", "static"))
        for testbed in static if isinstance(local, tuple) and isinstance(static, tuple) else ():
            if testbed in local:
                yield "static", f"got {testbed!r}, which local stands in for too. Keep one of the two."

    def provider(self, testbed: str) -> str:
        """The provider of a testbed's hosts."""
        if testbed in self.local:
            return "local"
        return "static" if testbed in self.static else testbed
