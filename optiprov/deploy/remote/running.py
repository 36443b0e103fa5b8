"""Runs one task on this host as the leader of a session of its own; a script that sshd starts.

What to run was written into a file before. Its standard input has nothing: end-of-file means that who
started it is gone, or wants it ended. The task's output goes through a pipe, so that what it leaves in the
background neither holds the connection, nor dies of having lost its output: that goes to a file of the host.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys

sys.path.insert(0, os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 3)))

from optiprov.deploy.remote.task_files import TASK_VARIABLE, TaskFiles

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing takes longer than what it is for
    from typing import Any, NoReturn

_BLOCK_BYTES = 1 << 16
_AMBIGUOUS = 255
"""The exit status that ssh has too, where it fails."""


def main(directory: str, task: str) -> int:
    """Run what was asked for, and return its exit status.

    Args:
        directory: The deployment's directory on this host.
        task: The task.
    """
    asked = _take_asked(directory, task)
    files = TaskFiles(os.path.join(directory, "tasks"))
    environment = {**asked["environment"], TASK_VARIABLE: task}
    changes, notifier = os.pipe()
    os.set_blocking(notifier, False)
    signal.set_wakeup_fd(notifier, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    outputs, writers = zip(os.pipe(), os.pipe())
    (out, err), (into_out, into_err) = outputs, writers
    pid = os.fork()
    if pid == 0:
        _become(asked, environment, into_out, into_err)
    os.close(into_out)
    os.close(into_err)
    with contextlib.suppress(OSError):  # the disk is full: its environment tells of it too
        files.note(task, pid, environment)
    pump = _Pump({out: 1, err: 2})
    waited = _wait(pid, changes, pump)
    if waited is None:
        files.end_task(task)
        waited = os.waitpid(pid, 0)[1]
    status = _status(waited)
    pump.drain()
    pump.leave(os.path.join(directory, "late"), task)
    files.forget(task, keeps_end=status == _AMBIGUOUS)
    return status


def _take_asked(directory: str, task: str) -> Any:
    path = os.path.join(directory, "asked", task)
    with open(path, encoding="utf-8") as file:
        asked = json.load(file)
    os.unlink(path)
    return asked


def _become(asked: dict[str, Any], environment: dict[str, str], out: int, err: int) -> NoReturn:
    """Become the task, in the child."""
    try:
        os.setsid()
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD):  # Python's own ways with them
            signal.signal(number, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.chdir(asked["chdir"])
        argv: list[str] = asked["argv"]
        os.execvpe(argv[0], argv, environment)
    except OSError as error:
        os.write(2, f"{error.filename or asked['argv'][0]}: {error.strerror}\n".encode())
    finally:
        os._exit(127)


def _wait(pid: int, changes: int, pump: _Pump) -> int | None:
    """Wait for the end of the task, passing its output on; its status, None if it is to be ended."""
    while True:
        readable, _, _ = select.select([0, changes, *pump.sources], [], [])
        for source in readable:
            if source in pump.sources and not pump.pass_on(source):
                return None
        if changes in readable:
            os.read(changes, _BLOCK_BYTES)
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status
        if 0 in readable and not os.read(0, _BLOCK_BYTES):
            return None


def _status(waited: int) -> int:
    """The exit status as a shell has it: 128 and the number of the signal that ended it."""
    return os.WEXITSTATUS(waited) if os.WIFEXITED(waited) else 128 + os.WTERMSIG(waited)


class _Pump:
    """Passes the output of a task on.

    Args:
        sources: Where it comes from, and where it goes to: file descriptors.
    """

    def __init__(self, sources: dict[int, int]) -> None:
        self.sources = sources

    def pass_on(self, source: int) -> bool:
        """Pass a block on; whether somebody takes it."""
        block = os.read(source, _BLOCK_BYTES)
        if not block:
            os.close(source)
            del self.sources[source]
        try:
            while block:
                block = block[os.write(self.sources[source], block) :]
        except OSError:
            return False
        return True

    def drain(self) -> None:
        """Pass on what is there."""
        while self.sources:
            readable, _, _ = select.select(list(self.sources), [], [], 0)
            if not readable or not all(map(self.pass_on, readable)):
                return

    def leave(self, directory: str, task: str) -> None:
        """Have what comes later go to files, by a process that ends with the last that writes."""
        if not self.sources or os.fork():
            return
        os.setsid()
        os.makedirs(directory, exist_ok=True)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(nowhere, number)
        names = {1: "out", 2: "err"}
        for source, target in self.sources.items():
            path = os.path.join(directory, f"{task}.{names[target]}")
            self.sources[source] = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        while self.sources:
            readable, _, _ = select.select(list(self.sources), [], [])
            for source in readable:
                self.pass_on(source)
        os._exit(0)


if __name__ == "__main__":
    os._exit(main(*sys.argv[1:]))  # all is written: tidying up would take as long as all else
