"""The process that keeps the network of a deployment's hosts.

`python -m optiprov.deploy.network.keeper DIRECTORY HOSTS` makes the namespaces, and holds them by open
files; they are gone with it. It runs what works in them, and runs it again should it end: the relays, and the
emulator once there are links (`links.json` in the directory). It says `{"hosts": ...}` on standard output
when all stands, or `{"error": ...}`, and ends unless it is told to go on by a line on standard input: should
who started it die before, nothing stays. SIGHUP has it look at the files again; `keeper.json` tells how
things are.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

from optiprov.deploy.network.kernel import enter_network_namespace, in_a_thread
from optiprov.deploy.network.namespaces import make_namespaces
from optiprov.deploy.watchdog import start_time

STATE, ENDPOINTS, LINKS = "keeper.json", "endpoints.json", "links.json"
_PAUSE_S = 0.5
"""Between the end of a process and the next one in its place, where that ended as well."""


class _Child:
    """A process that works in the namespaces, for as long as a file says that it should."""

    def __init__(self, module: str, wants: Path, descriptors: list[int], *, rereads: bool = False) -> None:
        self._module = module
        self._rereads = rereads
        self._wants = wants
        self._descriptors = descriptors
        self._process: subprocess.Popen[bytes] | None = None
        self._started_with = b""
        self._started_at = 0.0
        self._starts = 0

    def ensure(self) -> None:
        """Have it run, and wait until it is ready; anew where it ended."""
        if not self._wants.exists():
            return
        if self._process is not None:
            if self._process.poll() is None:
                return
            name, status = self._module.rpartition(".")[2], self._process.returncode
            print(f"{name} ended ({status}) and is started again", file=sys.stderr, flush=True)
        if time.monotonic() - self._started_at < _PAUSE_S:
            time.sleep(_PAUSE_S)
        self._started_at = time.monotonic()
        self._started_with = self._wants.read_bytes()
        command = [sys.executable, "-S", "-m", self._module, str(os.getpid()), str(self._wants)]
        self._process = subprocess.Popen(
            [*command, *map(str, self._descriptors)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=self._descriptors,
        )
        self._starts += 1
        self._wait_until_ready()

    def update(self) -> None:
        """Have it work by its file if that says something else than before."""
        if self._process is None or self._started_with == self._wants.read_bytes():
            return
        if not self._rereads:
            self._process.kill()
            self._process.wait()
            self._process = None
            return
        self._started_with = self._wants.read_bytes()
        with contextlib.suppress(BrokenPipeError):  # it has ended, and reads the file when it starts again
            os.write(_number(self._process.stdin), b"\n")
            self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        if self._process is not None:
            os.read(_number(self._process.stdout), 4096)

    @property
    def state(self) -> dict[str, Any]:
        """Its process, and what it works by."""
        if self._process is None:
            return {}
        return {
            "pid": self._process.pid,
            "starts": self._starts,
            "file": json.loads(self._started_with),
        }


def _number(pipe: IO[bytes] | None) -> int:
    assert pipe is not None  # noqa: S101  all pipes are asked for
    return pipe.fileno()


def main(arguments: list[str]) -> None:
    """Keep the network of so many hosts: `directory count`."""
    directory, count = Path(arguments[0]), int(arguments[1])
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP, signal.SIGCHLD})
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        descriptors = in_a_thread(lambda: make_namespaces(count))
        switch_thread = _stay_in(descriptors[0])
    except (OSError, subprocess.SubprocessError) as error:
        print(json.dumps({"error": str(error)}), flush=True)
        sys.exit(1)
    relay = _Child("optiprov.deploy.network.relay", directory / ENDPOINTS, descriptors[1:])
    emulator = _Child("optiprov.deploy.network.emulation", directory / LINKS, descriptors, rereads=True)
    relay.ensure()
    kept = {"descriptors": descriptors, "switch_thread": switch_thread}
    _write_state(directory, kept, relay, emulator)
    print(json.dumps({"hosts": count}), flush=True)
    if not sys.stdin.readline():
        return
    while True:
        for child in (relay, emulator):
            child.update()
            child.ensure()
        _write_state(directory, kept, relay, emulator)
        signal.sigwait({signal.SIGHUP, signal.SIGCHLD})


def _stay_in(descriptor: int) -> int:
    """Leave a thread in a namespace, by whose number others read what /proc tells of the network there."""
    numbers: queue.SimpleQueue[int] = queue.SimpleQueue()

    def stay() -> None:
        enter_network_namespace(descriptor)
        numbers.put(threading.get_native_id())
        threading.Event().wait()

    threading.Thread(target=stay, daemon=True).start()
    return numbers.get()


def _write_state(directory: Path, kept: dict[str, Any], relay: _Child, emulator: _Child) -> None:
    state = {
        "pid": os.getpid(),
        "start": start_time(os.getpid()),
        **kept,
        "relay": relay.state,
        "emulator": emulator.state,
    }
    unfinished = directory / f".{STATE}.part"
    unfinished.write_text(json.dumps(state), encoding="utf-8")
    unfinished.replace(directory / STATE)


if __name__ == "__main__":
    main(sys.argv[1:])
