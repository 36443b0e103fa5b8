"""The testbed `iotlab`: FIT IoT-LAB, through EnOSlib."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from optiprov.deploy.models.environment import IotLab, walltime_s
from optiprov.deploy.providers.enoslib import (
    EXTRA,
    EnoslibProvider,
    Group,
    cluster,
    import_enoslib,
    job_name,
    walltime,
)
from optiprov.errors import DeploymentError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optiprov.deploy.placement import Placement
    from optiprov.deploy.providers.base import HostRequest

WITH_LINUX = ("a8", "rpi")
"""The beginnings of the architectures, and of the machines' names, that have Linux and are reached by SSH."""


class IotLabProvider(EnoslibProvider):
    """Boards of FIT IoT-LAB that have Linux; those without have nothing on which tasks could run."""

    testbed = "iotlab"

    def configuration(self, groups: Sequence[Group], request: HostRequest) -> Any:
        """The `IotlabConf`: boards by architecture and site, or by name."""
        environment = request.testbeds
        asked = (environment.iotlab if environment is not None else None) or IotLab()
        if len({bool(one.servers) for one in groups}) > 1:
            raise DeploymentError(
                "iotlab: some services name their machines (`servers`) and others do not, which FIT IoT-LAB "
                "does not have in one reservation. Name the machines of all, or of none."
            )
        duration = walltime(environment, asked)
        given = {"job_name": job_name(request, asked)}
        if duration is not None:
            given["walltime"] = _in_minutes(duration)
        configuration = _iotlab().IotlabConf.from_settings(**given)
        for one in groups:
            more = {name: one.first.metadata[name] for name in ("profile",) if name in one.first.metadata}
            if one.servers:
                _refuse_without_linux(one.first, *one.servers)
                configuration.add_machine(roles=[one.role], hostname=list(one.servers), **more)
            else:
                if one.first.archi is None:
                    raise DeploymentError(
                        f"host {one.first.id}: its service names no `archi`. Add one that has Linux, such as "
                        "a8:at86rf231 or rpi3:at86rf233, to layers_services.yaml."
                    )
                _refuse_without_linux(one.first, one.first.archi)
                site = cluster(one.first, environment, asked)
                number = len(one.placements)
                configuration.add_machine(
                    roles=[one.role], archi=one.first.archi, site=site, number=number, **more
                )
        return configuration

    def read_configuration(self, journalled: Any) -> Any:
        """The `IotlabConf` of a reservation."""
        return _iotlab().IotlabConf.from_dictionary(journalled)

    def reserving(self, configuration: Any) -> Any:
        """EnOSlib's `Iotlab`."""
        return _iotlab().Iotlab(configuration)


def _iotlab() -> Any:
    """EnOSlib with its own extra for FIT IoT-LAB, which ours has."""
    enoslib = import_enoslib("iotlab")
    if not hasattr(enoslib, "Iotlab"):
        raise MissingExtraError("The testbed 'iotlab'", EXTRA)
    return enoslib


def _in_minutes(duration: str) -> str:
    """`hours:minutes`, which FIT IoT-LAB has; a part of a minute is a whole one.

    >>> _in_minutes("01:30:01")
    '1:31'
    """
    hours, minutes = divmod(math.ceil(walltime_s(duration) / 60), 60)
    return f"{hours}:{minutes:02}"


def _refuse_without_linux(placement: Placement, *names: str) -> None:
    for name in names:
        if not name.startswith(WITH_LINUX):
            raise DeploymentError(
                f"host {placement.id}: got {name!r}, which has no Linux: tasks run on boards that have, such "
                "as a8:at86rf231 or rpi3:at86rf233. Choose one in layers_services.yaml."
            )
