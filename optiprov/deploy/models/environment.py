"""The key `environment` of layers_services.yaml: the testbeds on which a scenario runs."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

from optiprov.deploy.frozen import frozen
from optiprov.deploy.kinds import INVALID, Choice, Flag, Kind, ListOf, Schema, Text, Whole, shown
from optiprov.deploy.models.base import Model, Nested, key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from typing_extensions import Self

    from optiprov.deploy.kinds import Place

TESTBEDS = ("local", "static", "g5k", "iotlab", "chameleoncloud", "chameleonedge", "scalewayinstances")
"""Where hosts may come from: ours first, then E2Clab's."""

IP_VERSIONS = (4, 6)

_WALLTIME = re.compile(r"\d+:[0-5]\d:[0-5]\d")


class Walltime(Kind):
    """`hours:minutes:seconds`, as a text; YAML makes a number of it where it is not quoted."""

    def read(self, value: Any, place: Place) -> Any:
        """The text."""
        if isinstance(value, int) and not isinstance(value, bool):
            hours, rest = divmod(value, 3600)
            place.report(
                f"got {value}, a number: YAML turned an unquoted hours:minutes:seconds into seconds. "
                f'Quote it: "{hours:02}:{rest // 60:02}:{rest % 60:02}".'
            )
            return INVALID
        if not isinstance(value, str) or not _WALLTIME.fullmatch(value):
            expected = 'hours:minutes:seconds in quotes, such as "01:30:00"'
            place.report(f"got {shown(value)}, expected {expected}.")
            return INVALID
        return value

    def json_schema(self, definitions: dict[str, Schema]) -> Schema:
        """A string."""
        del definitions
        return {"type": "string", "pattern": f"^{_WALLTIME.pattern}$"}


def walltime_s(walltime: str) -> float:
    """The seconds of an `hours:minutes:seconds`.

    >>> walltime_s("01:30:00")
    5400.0
    """
    hours, minutes, seconds = (int(part) for part in walltime.split(":"))
    return float(3600 * hours + 60 * minutes + seconds)


class _Port(Kind):
    """A port, or a range of them as a text."""

    def read(self, value: Any, place: Place) -> Any:
        """The number, or the text."""
        if isinstance(value, str) and re.fullmatch(r"\d+([:-]\d+)?", value):
            return value
        return Whole(1, 65535).read(value, place)

    def json_schema(self, definitions: dict[str, Schema]) -> Schema:
        """An integer or a string."""
        del definitions
        return {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": 65535},
                {"type": "string", "pattern": r"^\d+([:-]\d+)?$"},
            ]
        }


class _Date(Text):
    """A date and time; YAML makes a timestamp of it where it is not quoted."""

    def read(self, value: Any, place: Place) -> Any:
        """The text."""
        is_time = isinstance(value, datetime) and value.tzinfo is None and not value.microsecond
        return super().read(str(value) if is_time else value, place)


@frozen(kw_only=True)
class FirewallRule(Model):
    """One of `firewall_rules`: ports of Grid'5000 hosts that are open to other testbeds."""

    services: tuple[str, ...] = key(
        ListOf(Text(), at_least=1, or_one=True), "Layers, services or roles whose hosts are reached."
    )
    ports: tuple[int | str, ...] = key(
        ListOf(_Port(), or_one=True), "The ports; none given opens all.", default=()
    )
    proto: str = key(Choice(("tcp+udp", "tcp", "udp", "all")), "The protocols.", default="tcp+udp")


FIREWALL_RULES = ListOf(Nested(FirewallRule))


@frozen(kw_only=True)
class Limits(Model):
    """What a local host may use at most."""

    cpus: int | None = key(Whole(1), "On how many CPUs its processes run.", default=None)
    memory_mib: int | None = key(Whole(64), "The address space of each of its processes.", default=None)
    open_files: int | None = key(
        Whole(16), "How many files each of its processes may have open.", default=None
    )


@frozen(kw_only=True)
class LocalTestbed(Model):
    """The testbed `local`: hosts on this machine."""

    share: tuple[str, ...] = key(
        ListOf(Text(), or_one=True),
        "Directories below /tmp or the home directory which hosts see although both are private.",
        default=(),
    )
    limits: Limits | None = key(
        Nested(Limits), "What each host may use at most, unless its service says it.", default=None
    )
    isolation: str | None = key(
        Choice(("netns", "files")),
        "netns: each host has a network of its own; files: it has files of its own alone, and shares the "
        "network of this machine. By default netns where this machine allows it and network.yaml has rules.",
        default=None,
    )


REACHES = ("forward", "direct")
SSH_OPTIONS = ListOf(Text(r"[A-Za-z0-9]+[= ].*", "a setting of ssh, such as Ciphers=aes256-ctr"), or_one=True)


@frozen(kw_only=True)
class StaticHost(Model):
    """One machine of the testbed `static`; what it does not say is as `static` says."""

    address: str = key(Text(), "Its name or address, as ssh takes it.")
    user: str | None = key(Text(), "The user there.", default=None)
    port: int | None = key(Whole(1, 65535), "The port of its ssh server.", default=None)
    key_file: str | None = key(Text(), "The private key.", default=None)
    jump_host: str | None = key(Text(), "The machine through which it is reached.", default=None)
    known_hosts: str | None = key(Text(), "The file of known host keys.", default=None)
    options: tuple[str, ...] = key(SSH_OPTIONS, "Further settings of ssh.", default=())
    python: str | None = key(Text(), "The Python there, 3.8 or later.", default=None)
    directory: str | None = key(Text(), "Where deployments keep their directories there.", default=None)
    reach: str | None = key(Choice(REACHES), "How it reaches this machine.", default=None)


@frozen(kw_only=True)
class StaticTestbed(Model):
    """The testbed `static`: machines that are there, reached by SSH."""

    hosts: tuple[StaticHost, ...] = key(
        ListOf(Nested(StaticHost, alone="address")),
        "The machines, which services take in turn unless their `servers` names them.",
        default=(),
    )
    user: str | None = key(Text(), "The user on the machines.", default=None)
    port: int | None = key(Whole(1, 65535), "The port of their ssh servers.", default=None)
    key_file: str | None = key(Text(), "The private key; the agent's are used too.", default=None)
    jump_host: str | None = key(Text(), "The machine through which they are reached.", default=None)
    known_hosts: str | None = key(Text(), "The file of known host keys.", default=None)
    options: tuple[str, ...] = key(SSH_OPTIONS, "Further settings of ssh, such as Ciphers=...", default=())
    python: str = key(Text(), "The Python there, 3.8 or later.", default="python3")
    directory: str = key(Text(), "Where deployments keep their directories there.", default="~/.optiprov")
    reach: str = key(
        Choice(REACHES), "Whether they reach this machine by a forward or by its address.", default="forward"
    )


@frozen(kw_only=True)
class Testbed(Model):
    """What E2Clab's testbeds have in common."""

    __test__ = False

    job_name: str | None = key(Text(), "What the reservation is called.", default=None)
    walltime: str | None = key(Walltime(), "How long the reservation lasts.", default=None)
    cluster: str | None = key(Text(), "The cluster, site or flavour of the machines.", default=None)


@frozen(kw_only=True)
class Grid5000(Testbed):
    """The testbed `g5k`: Grid'5000."""

    queue: str | None = key(
        Choice(("default", "production", "besteffort", "testing")), "The queue.", default=None
    )
    reservation: str | None = key(
        _Date(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", 'a date such as "2026-01-31 19:00:00"'),
        "When the reservation begins.",
        default=None,
    )
    job_type: tuple[str, ...] = key(
        ListOf(Text(), or_one=True), "Types of the OAR job, such as deploy.", default=()
    )
    env_name: str | None = key(
        Text(), "The kadeploy environment; needs the job type deploy.", default=None, older=("image",)
    )
    key_name: str | None = key(Text(), "The public ssh key.", default=None, older=("ssh_key",))
    firewall_rules: tuple[FirewallRule, ...] = key(
        FIREWALL_RULES, "Ports that are open to other testbeds.", default=()
    )
    monitor: str | None = key(Text(), "Metrics on demand, such as prom_.*", default=None)
    ipv6: bool = key(Flag(), "Whether the hosts get IPv6 addresses.", default=False)

    @classmethod
    def misfits(cls, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """An environment is deployed in jobs of the type deploy only."""
        name, types = values.get("env_name"), values.get("job_type", ())
        if isinstance(name, str) and types is not INVALID and "deploy" not in types:
            yield "env_name", f"got {name!r}, which needs the job type deploy. Add job_type: [deploy]."


@frozen(kw_only=True)
class IotLab(Testbed):
    """The testbed `iotlab`: FIT IoT-LAB."""


@frozen(kw_only=True)
class Chameleon(Testbed):
    """The testbeds `chameleoncloud` and `chameleonedge`."""

    rc_file: str | None = key(Text(), "The OpenStack rc file.", default=None)
    key_name: str | None = key(Text(), "The public ssh key.", default=None, older=("ssh_key",))
    image: str | None = key(Text(), "The image of the machines.", default=None)


class _OpenPort(Kind):
    """`[public port, private port, role, protocol]`, the last one left out or not."""

    _PARTS = (Whole(1, 65535), Whole(1, 65535), Text(), Choice(("tcp", "udp", "both")))

    def read(self, value: Any, place: Place) -> Any:
        """The parts as a tuple."""
        if not isinstance(value, list) or len(value) not in {3, 4}:
            place.report(f"got {shown(value)}, expected [public port, private port, role, protocol].")
            return INVALID
        parts = [kind.read(part, place) for kind, part in zip(self._PARTS, value, strict=False)]
        return INVALID if INVALID in parts else tuple(parts)

    def json_schema(self, definitions: dict[str, Schema]) -> Schema:
        """A tuple."""
        return {
            "type": "array",
            "prefixItems": [kind.json_schema(definitions) for kind in self._PARTS],
            "minItems": 3,
            "maxItems": 4,
        }


@frozen(kw_only=True)
class Scaleway(Testbed):
    """The testbed `scalewayinstances`."""

    profile: str | None = key(Text(), "The configuration profile.", default=None)
    config_file: str | None = key(Text(), "The configuration file.", default=None)
    region: str | None = key(Text(), "The region of the private network.", default=None)
    zone: str | None = key(Text(), "The zone of the instances.", default=None)
    architecture: str | None = key(
        Choice(("standalone", "private_network")), "How the instances are reached.", default=None
    )
    gateway_type: str | None = key(Text(), "The type of the gateway.", default=None)
    image: str | None = key(Text(), "The image of the instances.", default=None)
    commercial_type: str | None = key(Text(), "The type of the instances.", default=None)
    ports_to_open: tuple[tuple[int | str, ...], ...] = key(
        ListOf(_OpenPort()), "Ports that the gateway passes on.", default=()
    )
    ipv6: bool = key(Flag(), "Whether the instances get IPv6 addresses.", default=False)


@frozen(kw_only=True)
class Environment(Model):
    """The key `environment`: what the scenario is called, and where it runs.

    Attributes:
        testbeds: The testbeds named, in the order of the file; services that name none are on the first.
    """

    job_name: str = key(Text(), "What the scenario is called.", default="optiprov")
    walltime: str | None = key(Walltime(), "How long the launch of a trial may take.", default=None)
    cluster: str | None = key(Text(), "The cluster of services that name none.", default=None)
    firewall_rules: tuple[FirewallRule, ...] = key(
        FIREWALL_RULES, "As of g5k, where older scenarios have it.", default=()
    )
    local: LocalTestbed | None = key(Nested(LocalTestbed, or_nothing=True), "This machine.", default=None)
    static: StaticTestbed | None = key(
        Nested(StaticTestbed, or_nothing=True), "Machines reached by SSH.", default=None
    )
    g5k: Grid5000 | None = key(Nested(Grid5000, or_nothing=True), "Grid'5000.", default=None)
    iotlab: IotLab | None = key(Nested(IotLab, or_nothing=True), "FIT IoT-LAB.", default=None)
    chameleoncloud: Chameleon | None = key(
        Nested(Chameleon, or_nothing=True), "Chameleon's cloud.", default=None
    )
    chameleonedge: Chameleon | None = key(
        Nested(Chameleon, or_nothing=True), "Chameleon's edge devices.", default=None
    )
    scalewayinstances: Scaleway | None = key(
        Nested(Scaleway, or_nothing=True), "Instances of Scaleway.", default=None
    )
    testbeds: tuple[str, ...] = ()

    @classmethod
    def build(cls, values: dict[str, Any]) -> Self:
        """The environment, with the order of its testbeds."""
        return cls(**values, testbeds=tuple(name for name in values if name in TESTBEDS))

    @classmethod
    def misfits(cls, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """At least one testbed is needed."""
        if not any(name in values for name in TESTBEDS):
            yield "", f"names no testbed. Add one of {', '.join(TESTBEDS)}, such as `local: {{}}`."
