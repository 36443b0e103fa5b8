"""Machines for tests of SSH: real sshd processes, each in a network of its own, with an own /tmp and HOME.

Each is linked to this machine, or to the one through which it is reached, by virtual interfaces with
addresses that no other run of the tests has. All of it is gone with the processes.
"""

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from tests.waiting import wait_until

SSHD = "/usr/sbin/sshd"
_NETWORK = int(IPv4Address("10.100.0.0"))
_numbers = itertools.count(1)
_CONFIG = """\
{more}
Port 22
ListenAddress 0.0.0.0
HostKey /mnt/host_key
AuthorizedKeysFile /mnt/authorized_keys
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
MaxSessions 100
LogLevel VERBOSE
"""
_BEGIN = (
    'mount --bind "$1" /mnt && mount --bind /mnt/home /root && mount --bind /mnt/tmp /tmp && '
    "ip link set lo up && mkdir -p /run/sshd && touch /mnt/begun && exec sleep infinity"
)


def require_machines():
    """Skip where machines cannot be made; in CI that is a failure."""
    missing = [
        name for name in (SSHD, "ssh", "ssh-keygen", "ip", "unshare", "nsenter") if shutil.which(name) is None
    ]
    reason = f"{', '.join(missing)} not installed" if missing else ""
    if not reason and not _can_link():
        reason = "networks of their own need root"
    if reason and os.environ.get("CI") == "true":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


def make_key(path):
    """Make a key without a passphrase."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


class SshMachines:
    """The machines of a test, and what they are reached with.

    Args:
        directory: Where their files lie.
    """

    def __init__(self, directory):
        self.directory = directory
        self.key = make_key(directory / "key")
        self.known_hosts = directory / "known_hosts"
        self.made = []

    def make(self, *, through=None, more=""):
        """Make one more.

        Args:
            through: The machine to which it is linked; by default this one.
            more: Lines for its sshd_config.
        """
        machine = SshMachine(self, next(_numbers), through, more)
        self.made.append(machine)
        with self.known_hosts.open("a") as file:
            file.write(machine.known_host)
        return machine

    def testbed(self, *machines, **more):
        """The key `static` of layers_services.yaml for machines."""
        return {
            "hosts": [machine.address for machine in machines],
            "user": "root",
            "key_file": str(self.key),
            "known_hosts": str(self.known_hosts),
            **more,
        }

    def remove(self):
        """End all of them."""
        for machine in self.made:
            machine.remove()


class SshMachine:
    """One machine.

    Attributes:
        address: Its address.
        gateway: That of this machine for it.
        home: Its home directory, as this machine sees it.
    """

    def __init__(self, machines, number, through, more):
        self._tag = f"{os.getpid() % 100_000}n{number}"
        first = 4 * number + 256 * (os.getpid() % 25_000)  # of the addresses from 10.100.0.0 on
        self.gateway, self.address = (str(IPv4Address(_NETWORK + first + offset)) for offset in (1, 2))
        self.directory = machines.directory / f"machine-{number}"
        self.home, self.tmp = self.directory / "home", self.directory / "tmp"
        self.log = self.directory / "sshd.log"
        for directory in (self.home, self.tmp):
            directory.mkdir(parents=True)
        self.host_key = make_key(self.directory / "host_key")
        public = machines.key.with_suffix(".pub")
        (self.directory / "authorized_keys").write_text(public.read_text())
        (self.directory / "sshd_config").write_text(_CONFIG.format(more=more))
        self._through = through
        # What holds it is its process 1, so that no process there sees those of others.
        command = "setpriv --pdeathsig KILL"  # all is gone with the tests, however these end
        command += " unshare --net --mount --propagation private --pid --fork --kill-child --mount-proc"
        self._unshare = subprocess.Popen(
            [*command.split(), "/bin/sh", "-c", _BEGIN, "sh", str(self.directory)],
            start_new_session=True,
        )
        wait_until((self.directory / "begun").exists)
        children = Path(f"/proc/{self._unshare.pid}/task/{self._unshare.pid}/children")
        self._first = int(children.read_text())
        self._link()
        self.start()

    @property
    def known_host(self):
        """Its line in a file of known hosts."""
        kind, key = self.host_key.with_suffix(".pub").read_text().split()[:2]
        return f"{self.address} {kind} {key}\n"

    @property
    def connections(self):
        """How many connections it has accepted since its sshd was started."""
        return self.log.read_text().count("Accepted publickey")

    def start(self):
        """Start its sshd."""
        command = [SSHD, "-D", "-E", "/mnt/sshd.log", "-f", "/mnt/sshd_config"]
        environment = {"PATH": os.environ["PATH"], "HOME": "/root"}
        self._sshd = subprocess.Popen(self.inside(*command), start_new_session=True, env=environment)
        wait_until(lambda: self.log.exists() and "Server listening" in self.log.read_text())

    def inside(self, *command):
        """A command on it."""
        return ["nsenter", "-t", str(self._first), "--net", "--mount", "--pid", "--", *command]

    def run(self, *command):
        """Run a command on it."""
        subprocess.run(self.inside(*command), check=True)

    def processes(self):
        """What runs there: the name and id of each process but for sshd's own."""
        network, found = _network_of(self._first), []
        mine = {self._unshare.pid, self._first, self._sshd.pid}
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if _network_of(path.name) == network and int(path.name) not in mine:
                    found.append(((path / "comm").read_text().strip(), int(path.name)))
        return found

    def running(self, *, name):
        """The ids of the processes there of a name."""
        return [pid for its_name, pid in self.processes() if its_name == name]

    def kill_sshd(self):
        """Kill its sshd and all of its connections; what they started goes on."""
        for pid in self.running(name="sshd"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._sshd.wait()
        self.log.unlink()

    def cut(self):
        """Cut it off from the network."""
        self._run_outside("ip", "link", "set", f"o{self._tag}", "down")

    def join(self):
        """Have it in the network again."""
        self._run_outside("ip", "link", "set", f"o{self._tag}", "up")

    def remove(self):
        """End all that runs there; it is all gone with its process 1."""
        for process in (self._unshare, self._sshd):
            process.kill()
            process.wait()

    def _link(self):
        outer, inner = f"o{self._tag}", f"i{self._tag}"
        self._run_outside("ip", "link", "add", outer, "type", "veth", "peer", "name", inner)
        self._run_outside("ip", "link", "set", inner, "netns", str(self._first))
        self._run_outside("ip", "addr", "add", f"{self.gateway}/30", "dev", outer)
        self._run_outside("ip", "link", "set", outer, "up")
        for command in (
            ("addr", "add", f"{self.address}/30", "dev", inner),
            ("link", "set", inner, "up"),
        ):
            self.run("ip", *command)

    def _run_outside(self, *command):
        if self._through is not None:  # its network alone: process ids are ours
            command = ("nsenter", f"--net=/proc/{self._through._first}/ns/net", "--", *command)
        subprocess.run(command, check=True)


def _network_of(process):
    return Path(f"/proc/{process}/ns/net").stat().st_ino


def _can_link():
    """Whether virtual interfaces can be made."""
    command = ["unshare", "--net", "ip", "link", "add", "one", "type", "veth", "peer", "name", "two"]
    return os.getuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0
