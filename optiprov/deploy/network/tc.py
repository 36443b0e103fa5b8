"""Emulation of networks by the kernel of each host: tc with htb and netem."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from optiprov.deploy.network.base import NetworkEmulator
from optiprov.deploy.network.tc_batch import HANDLE, MAX_CLASSES, Target, emulating
from optiprov.errors import DeploymentError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from optiprov.deploy.network.base import Link

COMMAND_TIMEOUT_S = 60.0
_AT_ONCE = 16
_ROUTES = 'for to in "$@"; do echo "to $to $(ip -o route get "$to" 2>&1 | head -n 1)"; done'
_AS_ROOT = (  # tc and ip often lie where only root looks
    'export PATH="$PATH:/usr/sbin:/sbin"; if [ "$(id -u)" = 0 ]; then exec "$@"; else exec sudo -n "$@"; fi'
)
_OURS = f"tc qdisc show 2>/dev/null | sed -n 's/^qdisc htb {HANDLE}: dev \\([^ ]*\\) root.*/\\1/p'"
_APPLY = (  # what is ours on other interfaces than those given goes; then the lines, if there are any
    f"for dev in $({_OURS}); do "
    'case " $* " in *" $dev "*) ;; *) tc qdisc del dev "$dev" root || exit ;; esac; done; '
    "[ $# = 0 ] || exec tc -batch -"
)
_ROUTE = re.compile(r"to (\S+) (.*)")
_DEVICE = re.compile(r"\bdev (\S+)")
_FAILED_LINE = re.compile(r"Command failed \S*?:(\d+)")
_NO_SUCH_QDISC = "qdisc kind is unknown"


class RuledHost(Protocol):
    """A host as far as rules go."""

    @property
    def id(self) -> str:
        """The host id."""

    @property
    def address(self) -> str:
        """Its IPv4 address."""

    @property
    def address6(self) -> str | None:
        """Its IPv6 address, None if it has none."""

    def enclosed(self, argv: Sequence[str]) -> list[str]:
        """The command of this machine that runs another one on the host."""


def as_root(host: RuledHost, argv: Sequence[str]) -> list[str]:
    """The command of this machine that runs another one on a host as root: its user's, or by sudo."""
    return host.enclosed(["sh", "-c", _AS_ROOT, "sh", *argv])


@lru_cache(maxsize=1)
def has_netem() -> bool:
    """Whether the kernel of this machine has netem; tried in a network namespace that is thrown away."""
    unshare = shutil.which("unshare")
    if unshare is None or shutil.which("tc") is None:
        return False
    attempt = ["tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"]
    ways = ([unshare, "--net"], [unshare, "--user", "--map-root-user", "--net"])
    return any(
        subprocess.run([*way, *attempt], capture_output=True, check=False).returncode == 0 for way in ways
    )


class TcEmulator(NetworkEmulator):
    """Has the kernels of hosts emulate links, each the packets that it sends.

    What is at the root of an interface that leads to a destination is replaced; taken off, it is what the
    kernel puts there by itself.

    Args:
        hosts: The hosts whose packets may be ruled, and those to which they go.
        enter: The command of this machine that runs another one on a host, as root and in the host's
            network.
        outlives_processes: Whether rules stay when the processes of the deployment have ended, as on real
            machines, so that they have to be taken off.
    """

    description = "tc netem"

    def __init__(
        self,
        hosts: Sequence[RuledHost],
        *,
        enter: Callable[[RuledHost, Sequence[str]], list[str]] = as_root,
        outlives_processes: bool = True,
    ) -> None:
        if outlives_processes:
            self.taking_off = shlex.join(["sh", "-c", _AS_ROOT, "sh", "sh", "-c", _APPLY, "tc"])
        self._hosts = {host.id: host for host in hosts}
        self._enter = enter
        self._devices: dict[str, dict[str, str]] = {}

    def apply(self, links: Sequence[Link]) -> None:
        """Have exactly these links emulated, on all hosts side by side.

        Raises:
            DeploymentError: A destination has no route, a host has no tc or netem, or the user there may
                not use it.
        """
        # Hosts of one address are one machine, whose packets are ruled as a whole.
        machines: dict[str, list[Link]] = {host.address: [] for host in self._hosts.values()}
        for link in links:
            machines[self._hosts[link.source].address].append(link)
        sources = {host.address: name for name, host in reversed(self._hosts.items())}
        distinct = {address: self._distinct(found) for address, found in machines.items()}
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(min(_AT_ONCE, max(1, len(machines)))) as workers:
            list(workers.map(self._apply_at, (sources[one] for one in machines), distinct.values()))

    def _distinct(self, links: Sequence[Link]) -> list[Link]:
        """The links from one machine, one to each other machine."""
        to: dict[str, Link] = {}
        for link in links:
            known = to.setdefault(self._hosts[link.destination].address, link)
            if known.properties != link.properties:
                raise DeploymentError(
                    f"the rules from {known.source} to {known.destination} and from {link.source} to "
                    f"{link.destination} differ, but these hosts share machines, and their packets look the "
                    "same. Give both the same rule, or each host a machine of its own."
                )
        return list(to.values())

    def _apply_at(self, source: str, links: Sequence[Link]) -> None:
        host = self._hosts[source]
        targets = self._targets(host, links) if links else {}
        lines = [line for device, found in targets.items() for line in emulating(device, found)]
        self._run(host, ["sh", "-c", _APPLY, "tc", *targets], lines)

    def _targets(self, host: RuledHost, links: Sequence[Link]) -> dict[str, list[Target]]:
        """The destinations of each interface of a host."""
        devices = self._routes(host, [self._hosts[link.destination] for link in links])
        targets: dict[str, list[Target]] = {}
        for link in links:
            other = self._hosts[link.destination]
            device = devices.get(other.address)
            if device is None or other.address == host.address:
                raise DeploymentError(
                    f"host {host.id} has no way to {other.id} ({other.address}) that can be ruled: they "
                    "share an address, or there is no route. Give each host an address of its own."
                )
            is_same = other.address6 is not None and devices.get(other.address6) == device
            target = Target(link, other.address, other.address6 if is_same else None)
            targets.setdefault(device, []).append(target)
            if len(targets[device]) > MAX_CLASSES:
                raise DeploymentError(
                    f"host {host.id} has rules to more than {MAX_CLASSES} hosts, which tc has no numbers for."
                )
        return targets

    def _routes(self, host: RuledHost, others: Sequence[RuledHost]) -> Mapping[str, str]:
        """The interface of a host that leads to each address; none for addresses without a route."""
        known = self._devices.setdefault(host.id, {})
        addresses = [one for other in others for one in (other.address, other.address6) if one is not None]
        missing = [address for address in dict.fromkeys(addresses) if address not in known]
        if missing:
            told = self._run(host, ["sh", "-c", _ROUTES, "sh", *missing], [])
            for address, route in _ROUTE.findall(told):
                if (found := _DEVICE.search(route)) and found[1] != "lo":
                    known[address] = found[1]
        return {address: known[address] for address in addresses if address in known}

    def _run(self, host: RuledHost, argv: Sequence[str], lines: Sequence[str]) -> str:
        """Run a command on a host, with lines for its standard input; return what it prints."""
        command = self._enter(host, argv)
        given = "".join(f"{line}\n" for line in lines)
        try:
            done = subprocess.run(
                command,
                input=given,
                capture_output=True,
                text=True,
                check=False,
                cwd="/",
                timeout=COMMAND_TIMEOUT_S,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DeploymentError(f"host {host.id}: {argv[0]} cannot be run: {error}.") from error
        if done.returncode:
            raise DeploymentError(_failure(host, argv, lines, done.stderr.strip()))
        return done.stdout


def _failure(host: RuledHost, argv: Sequence[str], lines: Sequence[str], said: str) -> str:
    """What went wrong on a host, and what to do about it."""
    failed = _FAILED_LINE.search(said)
    number = int(failed[1]) - 1 if failed else -1
    at = f" at `{lines[number]}`" if 0 <= number < len(lines) else ""
    first = said.splitlines()[0] if said else "no reason given"
    if _NO_SUCH_QDISC in said:
        return (
            f"host {host.id}: its kernel lacks what emulates networks{at} ({first}). Load it there: "
            "modprobe sch_netem sch_htb cls_u32 (on some systems in a package kernel-modules-extra), or "
            "remove the rules from network.yaml."
        )
    if "sudo" in first or "not permitted" in said:
        return (
            f"host {host.id}: the user there may not rule the network ({first}). Log in as root, or allow "
            "the user sudo without a password."
        )
    if "not found" in said:
        return f"host {host.id}: has no tc or no ip ({first}). Install iproute2 there."
    return f"host {host.id}: {argv[3] if argv[3:] else argv[0]} failed{at}: {first}."
