"""A host that is reached by SSH."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import uuid
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from optiprov.deploy.providers.base import CHECKPOINT_VARIABLE, PROVENANCE_ROLE, Host, joined_variables
from optiprov.deploy.providers.ssh import enclosing
from optiprov.deploy.providers.ssh.bootstrap import entering_command, running_command
from optiprov.deploy.providers.ssh.files import SshFiles
from optiprov.deploy.providers.ssh.reaching_back import FILES, environment_there, reach_services
from optiprov.deploy.providers.ssh.spools import SpoolMirror
from optiprov.deploy.providers.ssh.transfers import Transfers
from optiprov.errors import HostUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from optiprov.deploy.placement import Placement
    from optiprov.deploy.providers.ssh.connection import Connection

_FAILURE_OF_SSH = 255
_OURS = "OPTIPROV_"
_PAHO = "paho.mqtt.client"


class SshHost(Host):
    """A directory on a machine reached by SSH, with `work`, `tmp`, `spool`, and what is started there.

    The home directory is the user's own there. A process of this machine, an ssh, stands for each process of
    the host: its output goes to the files here, and the other ends with it.

    Args:
        placement: The place in the scenario.
        connection: The open connection to its machine.
        addresses: How other hosts reach it: by IPv4, or as is given, and by IPv6.
        port: The TCP port of its service.
        local_dir: Its directory on this machine, for its provenance spool.

    Attributes:
        connection: The connection to its machine.
        mirror: What brings its provenance spool here.
    """

    is_away = True

    def __init__(
        self,
        placement: Placement,
        connection: Connection,
        *,
        addresses: tuple[str, str | None],
        port: int,
        local_dir: Path,
    ) -> None:
        facts = connection.facts
        self.placement = placement
        self.address, self.address6 = addresses
        self.gateway = connection.machine.jump_host
        self.port = port
        self.shell = str(facts["shell"])
        self.python = str(facts["python"])
        self.spool_dir = local_dir / "spool"
        self.connection = connection
        self._base = str(facts["directory"])
        self._directory = f"{self._base}/{placement.id}"
        self.working_dir = f"{self._directory}/work"
        self.scratch_dir = f"{self._directory}/scratch"
        self._home = str(facts["environment"]["HOME"])
        self.files = SshFiles(connection, self._absolute)
        self._transfers = Transfers(connection, f"{self._directory}/arriving")
        self.mirror = SpoolMirror(connection, self._transfers, f"{self._directory}/spool", self.spool_dir)
        self._given: Mapping[str, str] = {}
        self._path: list[str] = []
        self._tasks: dict[int, str] = {}
        self._is_removed = False

    def environment(self) -> dict[str, str]:
        """The variables of its processes, as they hold there now.

        Raises:
            HostUnavailable: The machine cannot be reached.
        """
        own = {
            **self.connection.facts["environment"],
            "TMPDIR": f"{self._directory}/tmp",  # noqa: S108  a private one
            "OPTIPROV_SPOOL": f"{self._directory}/spool",
            **environment_there(self._given, self.connection),
        }
        return joined_variables(own, {"PYTHONPATH": os.pathsep.join(self._path)}) if self._path else own

    def make(
        self,
        environment: Mapping[str, str],
        services: Sequence[str] = (),
        *,
        keeps_checkpoints: bool = False,
    ) -> None:
        """Make its directories, and see that it reaches what the variables of its processes tell of.

        Args:
            environment: Those variables, as they hold on this machine.
            services: URLs of what else on this machine it reaches.
            keeps_checkpoints: Whether its processes have a directory for what they can go on from.

        Raises:
            HostUnavailable: The machine cannot be reached.
            OSError: They cannot be made.
        """
        names = ["work", "tmp", "spool", "scratch"]
        if keeps_checkpoints:
            names.append("checkpoint")
            self.checkpoint_dir = str(PurePosixPath(self.working_dir).parent / "checkpoint")
            environment = {**environment, CHECKPOINT_VARIABLE: self.checkpoint_dir}
        self._given = environment
        self.connection.call("directories", self._directory, {"": 0o755, **dict.fromkeys(names, 0o700)})
        self.spool_dir.mkdir(parents=True, exist_ok=True)
        files = {name: self._give_file(Path(environment[name])) for name in FILES if name in environment}
        self._given = {**environment, **files}
        self.environment()
        reach_services(services, self.connection)

    def visit(self, environment: Mapping[str, str]) -> None:
        """Take it as another process made it, for `shell_command` alone.

        Args:
            environment: The variables of its processes, as they hold on this machine.
        """
        from optiprov.deploy.client_archive import ARCHIVE_NAME, PAHO_NAME

        self.connection.visit()
        given = [name for name in FILES if name in environment]
        files = {name: f"{self.scratch_dir}/{Path(environment[name]).name}" for name in given}
        self._given = {**environment, **files}
        if PROVENANCE_ROLE in self.roles:  # one of the two may not be there, which Python passes over
            self._path = [f"{self._directory}/{name}" for name in (ARCHIVE_NAME, PAHO_NAME)]

    def reach(self) -> None:
        """Have it reached, as a machine may be away for a while.

        Raises:
            HostUnavailable: It cannot be reached; the message says why, and what to do.
        """
        self.connection.open()

    def start(
        self,
        argv: Sequence[str],
        *,
        chdir: str | None,
        environment: Mapping[str, str],
        stdout: Path,
        stderr: Path,
    ) -> subprocess.Popen[bytes]:
        """Start a process on the machine; the one that is returned is its ssh, and ends as it does."""
        task = uuid.uuid4().hex
        asked = {
            "argv": list(argv),
            "chdir": self._absolute(chdir or "."),
            "environment": joined_variables(self.environment(), environment),
        }
        self.connection.call("ask", task, payload=json.dumps(asked).encode())
        # The ssh itself holds the writing end of its input, so that this ends only with it; through the
        # connection goes nothing: what is sent after the command waits for an acknowledgement, 40 ms.
        reading, writing = os.pipe()
        os.close(writing)
        held = os.open(f"/proc/self/fd/{reading}", os.O_RDWR | os.O_CLOEXEC)
        os.close(reading)
        with os.fdopen(held, "rb"), stdout.open("ab") as out, stderr.open("ab") as err:
            process = subprocess.Popen(
                [*self.connection.command(), running_command(self.connection.machine, self._base, task)],
                stdin=held,
                stdout=out,
                stderr=err,
                cwd="/",
                env={**os.environ, **self._marks(environment)},
                start_new_session=True,
            )
        self._tasks[process.pid] = task
        return process

    def enclosed(self, argv: Sequence[str]) -> list[str]:
        """The command of this machine that runs another one on the host; nothing there ends with it."""
        description = f"{self.scratch_dir}/host.json"
        self.write(self._description(), description, name="", mode=0o600)
        enter = entering_command(self.connection.machine, self._base, description)
        ssh = self.connection.command()
        script = [sys.executable, "-S", "-E", "-s", str(Path(enclosing.__file__)), str(len(ssh))]
        return [*script, *ssh, enter, *argv]

    def shell_command(
        self, argv: Sequence[str], *, has_terminal: bool, forwards: Sequence[str] = ()
    ) -> list[str]:
        """The ssh that runs another command on the host, as `enclosed` does.

        Raises:
            HostUnavailable: The machine cannot be reached.
        """
        machine, description = self.connection.machine, f"{self.scratch_dir}/shell.json"
        self.connection.put(self._description(), description)
        command = f"{entering_command(machine, self._base, description)} {shlex.join(argv)}"
        terminal = ["-t"] if has_terminal else []
        if not forwards:
            return [*self.connection.command(*terminal), command]
        # By a connection of its own: those of the shared one would stay when the command has ended.
        ports = [word for forward in forwards for word in ("-L", forward)]
        alone = ("-o", "ControlPath=none", "-o", "ExitOnForwardFailure=yes")
        return [*machine.ssh(*alone, *ports, *terminal), command]

    def give_client(self, archive: Path) -> None:
        """Copy the client to the host, and put it first on the path of Python; with paho where that lacks."""
        place = f"{self._directory}/{archive.name}"
        self.write(archive, place, name=archive.name, mode=None)
        path = [place]
        if not self.connection.call("imports", _PAHO, self.environment())[0]:
            from optiprov.deploy.client_archive import PAHO_NAME, write_paho_archive

            paho = write_paho_archive(archive.with_name(PAHO_NAME))
            path.append(f"{self._directory}/{paho.name}")
            self.write(paho, path[-1], name=paho.name, mode=None)
        self._path = path

    def write(self, source: bytes | Path, dest: str, *, name: str, mode: int | None) -> None:
        """Write a file, making the directories above it; an existing one is replaced as a whole."""
        self._transfers.write(source, self._absolute(dest), name=name, mode=mode)

    def put_directory(self, source: Path, dest: str, *, content_only: bool) -> None:
        """Copy a directory with its permissions; files that are there already are not sent."""
        target = self._absolute(dest).rstrip("/")
        self._transfers.put_directory(source, target if content_only else f"{target}/{source.name}")

    def fetch(self, src: str, target: Path) -> None:
        """Copy a file or directory of the host here."""
        try:
            self._transfers.fetch(self._absolute(src), target)
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{src} is not on host {self.id}") from error

    def end_process(self, process: subprocess.Popen[bytes]) -> None:
        """End what a process of this machine stands for on the host."""
        task = self._tasks.get(process.pid)
        if task is not None:
            self._unless_lost("end_task", task)

    def end_marked(self, assignments: Sequence[str]) -> None:
        """End the processes on the host that have all of these in their environment."""
        self._unless_lost("end", list(assignments))

    def runs_marked(self, assignments: Sequence[str]) -> bool:
        """Whether a process on the host has all of these in its environment."""
        return bool(self._unless_lost("runs", list(assignments)))

    def reason_lost(self, process: subprocess.Popen[bytes]) -> str | None:
        """Why nobody knows how the process ended that a process of this machine stood for."""
        task = self._tasks.pop(process.pid, None)
        if task is None or process.returncode != _FAILURE_OF_SSH:
            return None
        try:
            has_ended = self.connection.call("has_ended", task)[0]
        except HostUnavailable as error:
            return f"connection lost: {error}"
        if has_ended:
            return None
        return (
            f"what ran it on {self.connection.machine.shown} was ended before it, or the connection was lost"
        )

    def bring_spool(self) -> None:
        """Have its provenance spool here as it is now on the host."""
        if not self._is_removed:
            self.mirror.bring()

    def leave_spool(self) -> None:
        """Remove its directories here, but for provenance that was not sent: those there are gone."""
        self._is_removed = True
        for left in (self.spool_dir, self.spool_dir.parent, self.spool_dir.parent.parent):
            if left.is_dir() and not any(left.iterdir()):
                left.rmdir()

    def _give_file(self, source: Path) -> str:
        """Copy a file of this machine for the host's processes to read, and return its path there."""
        path = f"{self.scratch_dir}/{source.name}"
        self.write(source, path, name=source.name, mode=0o600)
        return path

    def _unless_lost(self, name: str, argument: Any) -> Any:
        """Ask, but not where the connection is lost: the host ends by itself what it was lost with."""
        if not self.connection.is_open:
            return None
        try:
            return self.connection.call(name, argument)[0]
        except HostUnavailable:
            return None

    def _description(self) -> bytes:
        """What a command is told there so that it runs as those of the host do."""
        return json.dumps({"environment": self.environment(), "directory": self.working_dir}).encode()

    def _marks(self, environment: Mapping[str, str]) -> dict[str, str]:
        """The variables by which what stands here for a process of the host is found as that is."""
        # Not the others: an ssh would take the PATH or LD_PRELOAD of the task for its own.
        everything = {**self._given, **environment}
        return {name: value for name, value in everything.items() if name.startswith(_OURS)}

    def _absolute(self, path: str) -> str:
        if path == "~" or path.startswith("~/"):
            return self._home + path[1:]
        return os.path.join(self.working_dir, path)  # noqa: PTH118  keeps a trailing slash
