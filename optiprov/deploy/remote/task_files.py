"""The tasks that run on this host: a file each, so that what was cut off from its owner is found and ended.

A connection is known by the ports and addresses of its two ends, which sshd tells (`SSH_CONNECTION`).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal

from optiprov.deploy.watchdog import end_processes, not_recycled, start_time

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing takes longer than what it is for
    from collections.abc import Sequence
    from typing import Any

TASK_VARIABLE = "OPTIPROV_SSH_TASK"
_ENDED = ".ended"


def end_earlier(directory: str) -> None:
    """End an earlier connection of the deployment than this one, and note this one.

    Where the network was cut, sshd may take the old one for alive for hours: it would keep the ports that are
    forwarded through it.

    Args:
        directory: The deployment's directory.
    """
    path, session = os.path.join(directory, "connection.json"), os.getppid()
    try:
        with open(path, encoding="utf-8") as file:
            earlier = json.load(file)
    except (OSError, ValueError):
        earlier = {"connection": connection()}
    if earlier["connection"] != connection() and earlier["start"] == start_time(earlier["sshd"]) is not None:
        with contextlib.suppress(OSError), open(f"/proc/{earlier['sshd']}/comm", encoding="utf-8") as file:
            if file.read().startswith("sshd"):
                os.kill(earlier["sshd"], signal.SIGTERM)
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"connection": connection(), "sshd": session, "start": start_time(session)}, file)


def connection() -> str:
    """What names the connection through which this process was started."""
    return os.environ.get("SSH_CONNECTION", "")


class TaskFiles:
    """The files of the tasks of one deployment.

    Args:
        directory: Where they lie.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def note(self, task: str, session: int, environment: dict[str, str]) -> None:
        """Note that a task runs, as a session."""
        os.makedirs(self._directory, exist_ok=True)
        assignments = [f"{name}={value}" for name, value in environment.items() if name[:9] == "OPTIPROV_"]
        known = {"session": session, "start": start_time(session), "connection": connection()}
        unfinished = self._path(f".{task}.part")
        with open(unfinished, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o600)
            json.dump({**known, "assignments": assignments}, file)
        os.replace(unfinished, self._path(task))

    def forget(self, task: str, *, keeps_end: bool) -> None:
        """Note that a task has ended.

        Args:
            task: The task.
            keeps_end: Whether that stays known: its status is also that of ssh where it fails.
        """
        if keeps_end:
            with open(self._path(task + _ENDED), "w", encoding="utf-8"):
                pass
        try:
            os.unlink(self._path(task))
        except OSError:  # the deployment was removed
            return

    def has_ended(self, task: str) -> bool:
        """Whether a task is known to have ended by itself; asked once."""
        try:
            os.unlink(self._path(task + _ENDED))
        except OSError:
            return False
        return True

    def end(self, assignments: Sequence[str]) -> None:
        """End the processes that have all assignments in their environment, and the tasks that had them.

        Args:
            assignments: `NAME=value` each; none ends nothing.
        """
        if not assignments or not all("=" in assignment for assignment in assignments):
            return
        sessions: set[int] = set()
        for known in self._running().values():
            if set(assignments) <= set(known["assignments"]):
                sessions |= not_recycled({known["session"]: known["start"]})
        end_processes(tuple(assignments), sessions)

    def end_task(self, task: str) -> None:
        """End one task, with what it left its session for."""
        known = self._running().get(task)
        sessions = not_recycled({known["session"]: known["start"]}) if known else set()
        end_processes((f"{TASK_VARIABLE}={task}",), sessions)

    def end_cut_off(self) -> list[str]:
        """End the tasks of other connections than this one: who started them has lost them."""
        cut_off = [task for task, known in self._running().items() if known["connection"] != connection()]
        for task in cut_off:
            self.end_task(task)
            self.forget(task, keeps_end=False)
        return cut_off

    def _running(self) -> dict[str, dict[str, Any]]:
        running = {}
        for name in _names(self._directory):
            if name.startswith(".") or name.endswith(_ENDED):
                continue
            try:
                with open(self._path(name), encoding="utf-8") as file:
                    running[name] = json.load(file)
            except (OSError, ValueError):  # it has ended meanwhile
                continue
        return running

    def _path(self, name: str) -> str:
        return os.path.join(self._directory, name)


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []
