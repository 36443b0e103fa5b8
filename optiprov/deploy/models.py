"""What the files of a scenario may hold: one typed model for each of their parts.

The keys are E2Clab's (https://e2clab.gitlabpages.inria.fr/e2clab/define_exp_env/index.html) and the
testbed `local`. Models are strict: a text is no number, a fraction no whole number.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

NAME_PATTERN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
PREFIX_PATTERN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
WALLTIME_PATTERN = re.compile(r"\d+:[0-5]\d:[0-5]\d")


def _check_name(value: str) -> str:
    if not NAME_PATTERN.fullmatch(value):
        raise ValueError("expected a name of letters, digits, '_' and '-' (it becomes a part of host ids)")
    return value


def _check_prefix(value: str) -> str:
    if not PREFIX_PATTERN.fullmatch(value):
        raise ValueError("expected a variable name: letters, digits and '_', not starting with a digit")
    return value


def _check_walltime(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        raise ValueError(  # noqa: TRY004  pydantic turns a ValueError into a message with a location
            'YAML turned an unquoted hours:minutes:seconds into this number. Quote it, such as "10:00:00"'
        )
    if isinstance(value, str) and not WALLTIME_PATTERN.fullmatch(value):
        raise ValueError('expected hours:minutes:seconds in quotes, such as "01:30:00"')
    return value


def _check_scalars(values: dict[str, Any]) -> dict[str, Any]:
    for name, value in values.items():
        if not isinstance(value, str | int | float):
            raise ValueError(f"expected a text, a number or a boolean for {name!r}")  # noqa: TRY004  as above
    return values


def _none_is_empty(value: Any) -> Any:
    return {} if value is None else value


TESTBEDS_NOT_YET = frozenset(
    {"chameleoncloud", "chameleonedge", "g5k", "iotlab", "scalewayinstances", "static"}
)
CHOICES_NOT_YET = TESTBEDS_NOT_YET | {"address_match", "ipv6_hostname"}
PLAY_KEYS_NOT_YET = frozenset(
    {
        "become",
        "connection",
        "environment",
        "gather_facts",
        "handlers",
        "roles",
        "serial",
        "strategy",
        "tags",
        "vars",
    }
)

Name = Annotated[str, AfterValidator(_check_name)]
Scalars = Annotated[dict[str, Any], AfterValidator(_check_scalars)]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    not_yet: ClassVar[frozenset[str]] = frozenset()
    """Keys of E2Clab or Ansible that a later version takes; a message says so."""


class LocalTestbed(_Closed):
    """The testbed `local`: hosts on this machine.

    Attributes:
        share: Directories of this machine below /tmp or the home directory which hosts see in spite
            of their private /tmp and HOME, such as a folder of data sets.
    """

    share: list[str] = Field(default=[])


class Environment(_Closed):
    """The key `environment`: where the scenario runs."""

    not_yet: ClassVar[frozenset[str]] = TESTBEDS_NOT_YET

    job_name: str = "optiprov"
    walltime: Annotated[str | None, BeforeValidator(_check_walltime)] = None
    cluster: str | None = None
    local: Annotated[LocalTestbed, BeforeValidator(_none_is_empty)]


class Service(BaseModel):
    """One service of a layer; keys that it does not name are metadata, reached as `_self.<key>`.

    Attributes:
        quantity: Hosts of the service.
        repeat: Copies of the service appended at the end of its layer.
        env: Environment variables of the service's processes.
        environment: Testbed of the service.
    """

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    name: Name
    quantity: Annotated[int, Field(ge=1)] = 1
    repeat: Annotated[int, Field(ge=0)] = 0
    roles: list[str] = Field(default=[])
    env: Annotated[Scalars, BeforeValidator(_none_is_empty)] = Field(default={})
    environment: Literal["local"] = "local"


class Layer(_Closed):
    """One layer: a name and its services, in order."""

    name: Name
    services: Annotated[list[Service], Field(min_length=1)]


class ProvenanceService(BaseModel):
    """The key `provenance`: how a study's provenance service runs; E2Clab's other keys have no effect.

    Attributes:
        parallelism: How many ingest lanes receive and decode beside each other.
    """

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    parallelism: Annotated[int, Field(ge=1, le=16)] = 1


class LayersServices(_Closed):
    """The file layers_services.yaml."""

    not_yet: ClassVar[frozenset[str]] = frozenset({"monitoring", "monitoring_iotlab", "firewall_rules"})

    environment: Environment
    provenance: Annotated[ProvenanceService, BeforeValidator(_none_is_empty)] = Field(
        default=ProvenanceService()
    )
    layers: Annotated[list[Layer], Field(min_length=1)]


class Network(_Closed):
    """One rule of network.yaml: what lies between two sets of services."""

    src: str
    dst: str
    delay: str | None = None
    rate: str | None = None
    loss: str | None = None
    symmetric: bool = False


class NetworkFile(_Closed):
    """The file network.yaml."""

    networks: list[Network] | None = None


class Dependency(_Closed):
    """One entry of `depends_on`: which services a play's hosts learn about, and under which name."""

    service_selector: str
    grouping: Literal["round_robin", "asarray", "aggregate"] = "round_robin"
    prefix: Annotated[str, AfterValidator(_check_prefix)]
    array_info: Literal["id", "hostname", "url"] = "id"


class PlayModel(_Closed):
    """One play of workflow.yaml; the tasks of its stages have models of their own (`tasks`)."""

    not_yet: ClassVar[frozenset[str]] = PLAY_KEYS_NOT_YET

    hosts: str
    name: str | None = None
    depends_on: list[Dependency] | None = None
    prepare: list[Any] | None = None
    launch: list[Any] | None = None
    finalize: list[Any] | None = None
