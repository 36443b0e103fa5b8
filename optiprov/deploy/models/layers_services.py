"""The file layers_services.yaml: layers, their services, and what watches them.

The keys are E2Clab's (https://e2clab.gitlabpages.inria.fr/e2clab/define_exp_env/index.html) and ours.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any, ClassVar

from optiprov.deploy.frozen import frozen
from optiprov.deploy.kinds import Choice, Flag, ListOf, MappingOf, Scalar, Text, Whole
from optiprov.deploy.models.base import Model, Nested, key
from optiprov.deploy.models.environment import (
    FIREWALL_RULES,
    IP_VERSIONS,
    TESTBEDS,
    Environment,
    FirewallRule,
    Limits,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

STAGES = ("prepare", "launch", "finalize")
MAX_LANES = 16
MAX_HOSTS = 10_000
"""The most hosts that a scenario may have: more is a slip of the pen."""

_NAME = Text(
    r"[A-Za-z0-9_][A-Za-z0-9_-]*", "a name of letters, digits, '_' and '-' (it becomes a part of host ids)"
)
_SERVERS = ListOf(Text(), or_one=True)


@frozen(kw_only=True)
class Service(Model):
    """One service of a layer; keys that it does not name are metadata, reached as `_self.<key>`."""

    open_field: ClassVar[str | None] = "metadata"

    name: str = key(_NAME, "What the service is called.")
    quantity: int | None = key(
        Whole(1), "How many hosts it has; 1, or one for each of its servers.", default=None
    )
    repeat: int = key(Whole(0), "How many copies of it are appended at the end of its layer.", default=0)
    roles: tuple[str, ...] = key(
        ListOf(Text()), "Further names by which patterns select its hosts.", default=()
    )
    env: Mapping[str, Any] = key(MappingOf(Scalar()), "Environment variables of its processes.", factory=dict)
    environment: str | None = key(Choice(TESTBEDS), "The testbed that has its hosts.", default=None)
    cluster: str | None = key(Text(), "The cluster that has its hosts.", default=None)
    servers: tuple[str, ...] = key(_SERVERS, "The machines that are its hosts.", default=())
    archi: str | None = key(Text(), "The architecture of its hosts (FIT IoT-LAB).", default=None)
    limits: Limits | None = key(
        Nested(Limits),
        "What each of its hosts may use at most; on this machine only.",
        default=None,
    )
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def machines(self) -> int:
        """How many hosts each copy of the service has."""
        return self.quantity if self.quantity is not None else len(self.servers) or 1

    @classmethod
    def misfits(cls, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Servers are as many as there are hosts."""
        quantity, servers = values.get("quantity"), values.get("servers")
        if isinstance(quantity, int) and isinstance(servers, tuple) and quantity != len(servers):
            yield "quantity", f"got {quantity}, but servers names {len(servers)}. Leave one of the two out."


@frozen(kw_only=True)
class Layer(Model):
    """One layer: a name and its services, in order."""

    name: str = key(_NAME, "What the layer is called, such as edge.")
    services: tuple[Service, ...] = key(ListOf(Nested(Service), at_least=1), "Its services, in order.")


@frozen(kw_only=True)
class ProvenanceService(Model):
    """The key `provenance`: how the provenance service of the scenario runs."""

    provider: str | None = key(Choice(TESTBEDS), "The testbed that has the service.", default=None)
    cluster: str | None = key(Text(), "The cluster that has it.", default=None)
    servers: tuple[str, ...] = key(
        ListOf(Text(), at_most=1, or_one=True), "The machine that has it.", default=()
    )
    dataflow_spec: str | None = key(
        Text(), "A file of the artifacts with the specification of dataflows.", default=None
    )
    ipv: int = key(Choice(IP_VERSIONS), "The IP version by which hosts reach it.", default=4)
    parallelism: int = key(
        Whole(1, MAX_LANES), "How many ingest lanes receive and decode beside each other.", default=1
    )

    @classmethod
    def misfits(cls, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """A machine or a cluster."""
        cluster, servers = values.get("cluster"), values.get("servers")
        if cluster is not None and servers:
            yield "servers", "got servers beside cluster. Keep one of the two."


@frozen(kw_only=True)
class Monitoring(Model):
    """The key `monitoring`: what records the load of hosts with the role `monitoring`."""

    type: str = key(Choice(("dstat", "tig", "tpg")), "What records it.")
    provider: str | None = key(
        Choice(("g5k", "chameleoncloud")), "The testbed that has its database (tig, tpg).", default=None
    )
    cluster: str | None = key(Text(), "The cluster that has its database.", default=None)
    servers: tuple[str, ...] = key(_SERVERS, "The machine that has its database.", default=())
    network: str | None = key(
        Choice(("shared", "private")), "The network that measurements take.", default=None
    )
    agent_conf: str | None = key(Text(), "A file of the artifacts that configures agents.", default=None)
    options: str | None = key(Text(), "Options of dstat.", default=None)
    ipv: int | None = key(Choice(IP_VERSIONS), "The IP version of that network.", default=None)

    @classmethod
    def misfits(cls, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """A database needs a machine."""
        kind, provider = values.get("type"), values.get("provider")
        if kind not in {"tig", "tpg"}:
            return
        if provider is None:
            yield "provider", f"the key 'provider' is missing, which type {kind} needs. Add it."
        elif provider == "g5k" and values.get("cluster") is None and not values.get("servers"):
            yield "cluster", "the key 'cluster' is missing, or 'servers', which provider g5k needs. Add one."


@frozen(kw_only=True)
class Kwollect(Model):
    """The key `kwollect`: measurements that Grid'5000 makes of its machines."""

    metrics: tuple[str, ...] = key(ListOf(Text(), at_least=1), "What is measured; [all] is everything.")
    step: str | None = key(Choice(STAGES), "The stage that is measured.", default=None)
    start: str | None = key(Choice(STAGES), "The stage with which it begins.", default=None)
    end: str | None = key(Choice(STAGES), "The stage with which it ends.", default=None)

    @classmethod
    def misfits(cls, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """One stage, or a first and a last one."""
        start, end = values.get("start"), values.get("end")
        if values.get("step") is not None and (start is not None or end is not None):
            yield "step", "got step beside start or end. Keep step, or the two."
        elif end is not None and start is None:
            yield "end", "got end without start. Add start."


@frozen(kw_only=True)
class MonitoringProfile(Model):
    """One of the profiles of `monitoring_iotlab`."""

    name: str = key(Text(), "What services name as their `profile`.")
    archi: str = key(Choice(("a8", "m3", "custom")), "The architecture of the nodes.")
    current: bool = key(Flag(), "Whether current is measured.", default=False)
    power: bool = key(Flag(), "Whether power is measured.", default=False)
    voltage: bool = key(Flag(), "Whether voltage is measured.", default=False)
    period: int = key(
        Choice((140, 204, 332, 588, 1100, 2116, 4156, 8244)), "Microseconds between samples.", default=8244
    )
    average: int = key(Choice((1, 4, 16, 64, 128, 256, 512, 1024)), "Samples that are averaged.", default=4)


@frozen(kw_only=True)
class MonitoringIotLab(Model):
    """The key `monitoring_iotlab`: measurements that FIT IoT-LAB makes of its nodes."""

    profiles: tuple[MonitoringProfile, ...] = key(ListOf(Nested(MonitoringProfile)), "What is measured.")


@frozen(kw_only=True)
class LayersServices(Model):
    """The file layers_services.yaml."""

    environment: Environment = key(Nested(Environment), "Where the scenario runs.")
    layers: tuple[Layer, ...] = key(ListOf(Nested(Layer), at_least=1), "The layers, in order.")
    provenance: ProvenanceService | None = key(
        Nested(ProvenanceService, or_nothing=True), "How the provenance service runs.", default=None
    )
    monitoring: Monitoring | None = key(Nested(Monitoring), "What records the load of hosts.", default=None)
    kwollect: Kwollect | None = key(Nested(Kwollect), "Grid'5000's measurements.", default=None)
    monitoring_iotlab: MonitoringIotLab | None = key(
        Nested(MonitoringIotLab), "FIT IoT-LAB's measurements.", default=None
    )
    firewall_rules: tuple[FirewallRule, ...] = key(
        FIREWALL_RULES, "As of g5k, where older scenarios have it.", default=()
    )

    @classmethod
    def misfits(cls, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """There is an end to hosts."""
        layers = values.get("layers")
        for layer in layers if isinstance(layers, tuple) else ():
            hosts = sum(service.machines * (1 + service.repeat) for service in layer.services)
            if hosts > MAX_HOSTS:
                yield "layers", f"the layer {layer.name!r} has more than {MAX_HOSTS} hosts. Have fewer."
