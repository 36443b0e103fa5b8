"""The service `Mosquitto`: an MQTT broker on each of its hosts."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

from optiprov.deploy.services.base import Service

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PLACES = "/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin"
_CONF = """\
listener {port} {address}
allow_anonymous true
persistence false
"""


class Mosquitto(Service):
    """An MQTT broker, mosquitto, at the port of each of its hosts.

    Whoever reaches the address of the host may use it, unless the key `conf` names a file of the artifacts
    with a configuration in place of ours, in which `{port}` and `{address}` stand for the host's.
    """

    def deploy(self) -> None:
        """Start mosquitto, wait until it listens, and register its url; `broker` is the same with mqtt://."""
        conf = self.service_metadata.get("conf")
        for host in self.hosts:
            text = _CONF if conf is None else host.read_source(str(conf))
            filled = text.replace("{port}", str(host.port)).replace("{address}", host.address)
            host.write(filled, "mosquitto.conf", mode=0o600)
        if self.run("id -u", self.hosts[0])[0].stdout.strip() == "0":
            # As root it would become the user mosquitto, who need not be allowed into the host's directory.
            self.run('echo "user root" >> mosquitto.conf', name="conf")
        self.start(f'PATH="$PATH:{_PLACES}" exec mosquitto -c mosquitto.conf', name="mosquitto")
        self.wait_for_port()
        self.register_service(extra=[{"broker": f"mqtt://{host.address}:{host.port}"} for host in self.hosts])

    @classmethod
    def misfits(cls, service_metadata: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """`conf` is a text."""
        conf = service_metadata.get("conf")
        if conf is not None and not isinstance(conf, str):
            yield "conf", f"got {conf!r}, expected the name of a file of the artifacts."

    @classmethod
    def obstacle(cls) -> str | None:
        """Mosquitto is not installed."""
        path = f"{os.environ.get('PATH', os.defpath)}:{_PLACES}"
        if shutil.which("mosquitto", path=path) is None:
            return (
                "mosquitto is not installed on this machine. Install it, such as: apt-get install mosquitto"
            )
        return None
