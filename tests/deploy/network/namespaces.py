"""Two or more hosts on one bridge, each a network namespace that lasts as long as a process here."""

import os
import subprocess

from optiprov.deploy.frozen import frozen
from optiprov.deploy.providers.base import Host
from optiprov.deploy.providers.isolation import namespace_commands

_HOLD = "ip link set lo up && echo held && exec sleep 100000"


@frozen
class NamespacedHost:
    """A host that is a network namespace, entered by way of a process in it."""

    id: str
    entering: tuple[str, ...]
    address: str
    address6: str | None
    roles: tuple[str, ...] = ()

    # It is on this machine: what concerns other machines is what it is for all hosts of this one.
    is_away = False
    reach = Host.reach
    end_process = Host.end_process
    end_marked = Host.end_marked
    runs_marked = Host.runs_marked
    reason_lost = Host.reason_lost

    def enclosed(self, argv):
        """The command that runs another one in the namespace."""
        return [*self.entering, *argv]

    def start(self, argv, *, chdir, environment, stdout, stderr):
        """Start a process in the namespace, as hosts do."""
        with stdout.open("ab") as out, stderr.open("ab") as err:
            return subprocess.Popen(
                self.enclosed(argv),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=chdir,
                env={"PATH": os.environ["PATH"], **environment},
                start_new_session=True,
            )

    def run(self, *argv, **options):
        """Run a command in the namespace, to its end; return what it prints."""
        options = {"capture_output": True, "text": True, "check": True, **options}
        return subprocess.run(self.enclosed(argv), **options).stdout


class Bridge:
    """A bridge in a namespace of its own, and hosts on it; gone with `close`."""

    def __init__(self, count):
        before, _ = namespace_commands()
        # All in the user namespace of the switch, where there is one: links are moved between them.
        self._user = ["-U"] if "--user" in before else []
        self._holders = []
        switch = self._hold(["unshare", *(["--user", "--map-root-user"] if self._user else []), "--net"])
        subprocess.run([*self._entering(switch, "-n"), "sh", "-ec", _BRIDGE], check=True)
        self.hosts = [self._add(switch, number) for number in range(1, count + 1)]

    def close(self):
        """End all of it."""
        for holder in self._holders:
            holder.kill()
            holder.wait()
            holder.stdout.close()

    def _hold(self, way):
        command = [*way, "sh", "-c", _HOLD]
        holder = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        self._holders.append(holder)
        assert holder.stdout.readline() == b"held\n"
        return holder.pid

    def _add(self, switch, number):
        inside = self._entering(switch) if self._user else []
        pid = self._hold([*inside, "unshare", "--net"])
        script = _CABLE.format(number=number, pid=pid)
        subprocess.run([*self._entering(switch, "-n"), "sh", "-ec", script], check=True)
        host = NamespacedHost(
            f"edge.h.1.{number}", tuple(self._entering(pid, "-n")), f"10.9.0.{number}", f"fd09::{number}"
        )
        addresses = f"ip link set eth0 up; ip address add {host.address}/24 dev eth0; "
        host.run("sh", "-ec", addresses + f"ip address add {host.address6}/64 dev eth0 nodad")
        return host

    def _entering(self, pid, *kinds):
        return ["nsenter", "--preserve-credentials", *self._user, *kinds, f"--target={pid}", "--"]


_BRIDGE = "ip link add name br0 type bridge; ip link set br0 up"
_CABLE = (
    "ip link add name v{number} type veth peer name eth0 netns {pid}; "
    "ip link set v{number} master br0; ip link set v{number} up"
)
