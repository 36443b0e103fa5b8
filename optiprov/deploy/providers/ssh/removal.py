"""Removes what a deployment made on machines that are reached by SSH."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from optiprov.deploy.journal import marker_of
from optiprov.deploy.providers.ssh.connection import Connection, end_connections
from optiprov.deploy.providers.ssh.machine import Machine
from optiprov.deploy.providers.ssh.spools import SpoolMirror
from optiprov.deploy.providers.ssh.transfers import Transfers
from optiprov.errors import HostUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from optiprov.deploy.journal import Journalled
    from optiprov.deploy.providers.ssh.host import SshHost

logger = logging.getLogger(__name__)

_STAYS = "host %s cannot be reached: %s stays there, with what was not sent of its provenance. %s"
_MAY_STAY = "host %s was not deployed and cannot be reached: should %s be there, it stays. %s"


def remove_machine(connection: Connection, name: str, hosts: Sequence[SshHost]) -> bool:
    """End and remove all of a deployment on a machine, with its connection; provenance is brought here first.

    Args:
        connection: The connection to it.
        name: What names the deployment there.
        hosts: The deployment's hosts on it.

    Returns:
        Whether that could be done; what stays is logged.
    """
    return _remove(
        connection, name, {host.id: host.spool_dir for host in hosts}, [one.mirror for one in hosts]
    )


def remove_remaining(deployment: Journalled, directory: Path) -> bool:
    """Remove what the journal of a deployment whose process died tells of machines.

    Args:
        deployment: What the journal says.
        directory: The deployment's directory, in which provenance that was not sent is left.

    Returns:
        Whether all of it is gone; what stays is logged.
    """
    is_gone = True
    for (name, machine), hosts in _journalled_machines(deployment).items():
        end_connections(name)
        spools = {host: directory / "hosts" / host / "spool" for host in hosts}
        has_hosts = not deployment.hosts.keys().isdisjoint(hosts)
        is_gone &= _remove(Connection(machine, name, ""), name, spools, [], has_hosts=has_hosts)
        end_connections(name)
    return is_gone


def _journalled_machines(deployment: Journalled) -> Mapping[tuple[str, Machine], Sequence[str]]:
    """The hosts that were to be on each machine, by what names the deployment there; each machine once.

    Each command that tried to have them has journalled them.
    """
    hosts: dict[tuple[str, Machine], dict[str, None]] = {}
    for event in deployment.machines:
        try:
            machine = Machine.from_record(event["machine"])
        except (KeyError, TypeError, ValueError):  # what is no record of ours leads nowhere
            continue
        hosts.setdefault((event["name"], machine), {}).update(dict.fromkeys(map(str, event["hosts"])))
    return {key: list(ids) for key, ids in hosts.items()}


def _remove(
    connection: Connection,
    name: str,
    spools: Mapping[str, Path],
    mirrors: Sequence[SpoolMirror],
    *,
    has_hosts: bool = True,
) -> bool:
    try:
        connection.call("end", [marker_of(name)])
        for mirror in mirrors or _mirrors(connection, spools):
            mirror.bring()
        connection.call("remove")
    except HostUnavailable as error:
        where = connection.facts.get("directory", f"{connection.machine.directory}/{name}")
        logger.warning(_STAYS if has_hosts else _MAY_STAY, ", ".join(spools), where, error)
        return False
    except OSError as error:
        logger.warning(
            "host %s on %s: not all is removed: %s", ", ".join(spools), connection.machine.shown, error
        )
        return False
    finally:
        for mirror in mirrors:
            mirror.release()
        with suppress(OSError):
            connection.close()
    return True


def _mirrors(connection: Connection, spools: Mapping[str, Path]) -> Iterator[SpoolMirror]:
    directory = connection.facts["directory"]
    for host, here in spools.items():
        transfers = Transfers(connection, f"{directory}/{host}/arriving")
        yield SpoolMirror(connection, transfers, f"{directory}/{host}/spool", here)
