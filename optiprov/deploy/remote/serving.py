"""Serves one deployment on this host: its files, its ports, and the ending of its processes.

It is asked through its standard input. The end of that, or silence, means that who asks has died or is cut
off: then the processes that were to end with it are ended.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optiprov.deploy.providers.local_files import LocalFiles
from optiprov.deploy.remote import ports
from optiprov.deploy.remote.frames import read_frame, write_frame
from optiprov.deploy.remote.spools import HeldSpools
from optiprov.deploy.remote.task_files import TaskFiles, end_earlier
from optiprov.deploy.watchdog import find_processes

if TYPE_CHECKING:
    from collections.abc import Sequence

_LOOK_S = 1.0
_SHELLS = ("/bin/bash", "/usr/bin/bash", "/usr/local/bin/bash")
_KEPT = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH")


class Server:
    """Answers what the deploying process asks, in order but for what takes long.

    Args:
        root: The directory of all deployments of the user on this host.
        name: What the deployment's directory below it is called.
        supervised: What marks the processes that end with who asks, `NAME=value`.
        silence_s: The longest time without a word, after which who asks is taken for dead.
    """

    def __init__(self, root: str, name: str, supervised: str, silence_s: float) -> None:
        self._silence_s = silence_s
        self._root = root
        self._directory = os.path.join(root, name)
        self._supervised = supervised
        self._files = LocalFiles(str, Path)
        self._tasks = TaskFiles(os.path.join(self._directory, "tasks"))
        self._spools = HeldSpools()
        self._output = sys.stdout.buffer
        self._writing = threading.Lock()
        self._waiting_since: float | None = None

    def run(self) -> None:
        """Answer until the end of standard input."""
        self._answer(0, {"value": self._introduce()})
        threading.Thread(target=self._notice_silence, daemon=True).start()
        is_closed = False
        while True:
            self._waiting_since = time.monotonic()
            frame = read_frame(sys.stdin.buffer)
            self._waiting_since = None
            if frame is None:
                break
            message, payload = frame
            if message["name"] == "close":
                is_closed = True
            elif message["name"] in _SLOW:
                threading.Thread(target=self._serve, args=(message, payload), daemon=True).start()
            elif message["name"] != "ping":
                self._serve(message, payload)
        if not is_closed:
            self._tasks.end([self._supervised])

    def _introduce(self) -> dict[str, Any]:
        """What there is to know of this host."""
        end_earlier(self._directory)
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        shell = next((path for path in _SHELLS if os.access(path, os.X_OK)), "/bin/sh")
        return {
            "directory": self._directory,
            "environment": {"PATH": os.defpath, "LANG": "C.UTF-8", "HOME": "/", **environment},
            "python": sys.executable,
            "shell": shell,
            "cut_off": self._tasks.end_cut_off(),
        }

    def _notice_silence(self) -> None:
        while True:
            time.sleep(_LOOK_S)
            since = self._waiting_since
            if since is not None and time.monotonic() - since > self._silence_s:
                self._tasks.end([self._supervised])
                os._exit(1)

    def _serve(self, message: dict[str, Any], payload: bytes) -> None:
        content = b""
        try:
            value = getattr(self, f"_do_{message['name']}")(*message["arguments"], payload)
            content = value if isinstance(value, bytes) else b""
            answer = {"value": None if isinstance(value, bytes) else value}
        # The boundary of this process: whatever goes wrong is told to who asked.
        except Exception as error:  # noqa: BLE001  the boundary of this process
            answer = {"error": _told(error)}
        self._answer(message["number"], answer, content)

    def _answer(self, number: int, answer: dict[str, Any], payload: bytes = b"") -> None:
        try:
            with self._writing:
                write_frame(self._output, {"number": number, **answer}, payload)
        except OSError:  # nobody reads any more: the end of standard input follows
            return

    def _do_files(self, method: str, arguments: list[Any], options: dict[str, Any], _payload: bytes) -> Any:
        return getattr(self._files, method)(*arguments, **options)

    def _do_write(self, target: str, name: str, mode: Any, mtime: Any, arrived: Any, payload: bytes) -> None:
        """Write a file, making the directories above it; an existing one is replaced as a whole."""
        path = Path(target)
        if target.endswith("/") or path.is_dir():
            path /= name
        path.parent.mkdir(parents=True, exist_ok=True)
        # A new file, not new content: a program that runs from the old one must not change under it.
        fresh = path.with_name(f".{path.name}.optiprov")
        try:
            if arrived is None:
                fresh.write_bytes(payload)
            else:
                shutil.copyfile(arrived, str(fresh))
                os.unlink(arrived)
            if mode is not None:
                fresh.chmod(mode)
            if mtime is not None:
                os.utime(fresh, ns=(mtime, mtime))
            fresh.replace(path)
        except OSError:
            if fresh.exists():
                fresh.unlink()
            raise

    def _do_append(self, arrived: str, payload: bytes) -> None:
        """Take a part of a file that is too long for one message."""
        os.makedirs(os.path.dirname(arrived), exist_ok=True)
        with open(arrived, "ab") as file:
            file.write(payload)

    def _do_read(self, path: str, offset: int, size: int, _payload: bytes) -> bytes:
        with open(path, "rb") as file:
            file.seek(offset)
            return file.read(size)

    def _do_tree(self, path: str, _payload: bytes) -> Any:
        """A file, or a directory with all below it: relative path, whether a directory, size, mode, time."""
        if not os.path.isdir(path):
            return [["", False, *_facts(path)]]
        tree = []
        for place, _, names in os.walk(path, followlinks=True):
            below = os.path.relpath(place, path)
            tree.append(["" if below == os.curdir else below, True, *_facts(place)])
            for name in names:
                there = os.path.join(place, name)
                tree.append([os.path.relpath(there, path), False, *_facts(there)])
        return tree

    def _do_differing(self, path: str, files: dict[str, str], _payload: bytes) -> list[str]:
        """Those of some files below a directory that have not the content whose checksum is given."""
        return [
            name for name, wanted in files.items() if self._files.checksum(os.path.join(path, name)) != wanted
        ]

    def _do_directories(self, path: str, modes: dict[str, int], _payload: bytes) -> None:
        """Make directories, those above before those below them."""
        for name, mode in modes.items():
            place = Path(path, name)
            place.mkdir(parents=True, exist_ok=True)
            place.chmod(mode)

    def _do_allot_port(self, _payload: bytes) -> int:
        return ports.allot(os.path.join(self._root, "ports"), self._directory)

    def _do_ask(self, task: str, payload: bytes) -> None:
        """Take what a task is to run; only its user reads it, as there may be secrets in its environment."""
        directory = os.path.join(self._directory, "asked")
        os.makedirs(directory, 0o700, exist_ok=True)
        with open(os.open(os.path.join(directory, task), os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(payload)

    def _do_end(self, assignments: Sequence[str], _payload: bytes) -> None:
        self._tasks.end(assignments)

    def _do_end_task(self, task: str, _payload: bytes) -> None:
        self._tasks.end_task(task)

    def _do_runs(self, assignments: Sequence[str], _payload: bytes) -> bool:
        return bool(find_processes(tuple(assignments), set()))

    def _do_has_ended(self, task: str, _payload: bytes) -> bool:
        return self._tasks.has_ended(task)

    def _do_imports(self, module: str, environment: dict[str, str], _payload: bytes) -> bool:
        """Whether the Python that tasks find can import a module."""
        try:
            done = subprocess.run(
                ["python3", "-c", f"import {module}"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=False,
            )
        except OSError:
            return False
        return done.returncode == 0

    def _do_hold_spools(self, directory: str, _payload: bytes) -> dict[str, bool]:
        return self._spools.hold(directory)

    def _do_let_spool_go(self, spool: str, remove: bool, _payload: bytes) -> None:  # noqa: FBT001  by position
        self._spools.let_go(spool, remove=remove)

    def _do_remove(self, _payload: bytes) -> None:
        """Remove all that the deployment made here."""
        ports.release(os.path.join(self._root, "ports"), self._directory)
        os.chdir("/")
        if os.path.isdir(self._directory):
            shutil.rmtree(self._directory)
        for directory in (os.path.join(self._root, "ports"), self._root):
            with contextlib.suppress(OSError):  # others have theirs there, or have just removed it
                os.rmdir(directory)


_SLOW = frozenset({"end", "end_task", "imports", "remove"})


def serve(asked: dict[str, Any]) -> None:
    """Serve as asked: `root`, `name`, `supervised` and `silence_s` as `Server` takes them."""
    Server(asked["root"], asked["name"], asked["supervised"], asked["silence_s"]).run()
    sys.stdout.flush()
    os._exit(0)


def _facts(path: str) -> list[int]:
    status = os.stat(path)
    return [status.st_size, status.st_mode & 0o7777, status.st_mtime_ns]


def _told(error: Exception) -> dict[str, Any]:
    number = error.errno if isinstance(error, OSError) else None
    name = error.filename if isinstance(error, OSError) else None
    return {"type": type(error).__name__, "errno": number, "path": name, "text": str(error)}
