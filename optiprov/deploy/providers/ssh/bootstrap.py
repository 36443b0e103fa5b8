"""How a host gets what runs on it: sent through the connection, and started there."""

from __future__ import annotations

import json
import shlex
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optiprov.deploy.providers.ssh.machine import Machine

READY = b"optiprov serves this host\n"
"""What comes before the first frame: a shell's own files may print something before it."""

SILENCE_S = 45.0
"""A host that hears nothing for so long takes this process for dead: the network may be cut for good."""

SHIPPED = (
    *("deploy/watchdog.py", "deploy/providers/files.py", "deploy/providers/local_files.py"),
    *(f"deploy/remote/{name}.py" for name in ("__init__", "frames", "task_files", "running", "entering")),
    *(f"deploy/remote/{name}.py" for name in ("ports", "spools", "serving")),
)
"""The files that run there."""

_EMPTY = ("__init__.py", "deploy/__init__.py", "deploy/providers/__init__.py")
_PACKAGE = Path(__file__).resolve().parents[3]
_FLAGS = ("-S", "-E", "-s")
"""Of Python: without what is installed there, which takes time and may have an optiprov of its own."""

_STARTER = "import sys; exec(eval(sys.stdin.buffer.readline()))"
_BOOTSTRAP = f"""
import os, shutil, sys
if sys.version_info < (3, 8):
    sys.exit("optiprov needs Python 3.8 or later, this is " + sys.version.split()[0])
import json
asked = json.loads(sys.stdin.buffer.readline().decode())
root = asked["root"] = os.path.expanduser(asked["root"])
directory = os.path.join(root, asked["name"])
library, is_new = os.path.join(directory, "lib"), not os.path.isdir(directory)
os.makedirs(root, 0o700, exist_ok=True)
try:
    for name, text in asked.pop("sources").items():
        path = os.path.join(library, "optiprov", name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(path + ".new", path)
except OSError:
    if is_new:
        shutil.rmtree(directory, ignore_errors=True)
    raise
sys.path.insert(0, library)
from optiprov.deploy.remote.serving import serve
sys.stdout.buffer.write({READY!r})
serve(asked)
"""


def serving_command(machine: Machine) -> str:
    """The command of the host that starts what serves it."""
    return _python(machine, "-c", _STARTER)


def serving_input(machine: Machine, name: str, supervised: str) -> bytes:
    """What that command reads before anything else.

    Args:
        machine: The host's machine.
        name: What the deployment's directory there is called.
        supervised: What marks the processes that end with this one, `NAME=value`.
    """
    asked = {"root": machine.directory, "name": name, "supervised": supervised, "silence_s": SILENCE_S}
    return f"{_BOOTSTRAP!r}\n{json.dumps({**asked, 'sources': _sources()})}\n".encode()


def running_command(machine: Machine, directory: str, task: str) -> str:
    """The command of the host that runs a task.

    Args:
        machine: The host's machine.
        directory: The deployment's directory there.
        task: The task.
    """
    return _python(machine, f"{directory}/lib/optiprov/deploy/remote/running.py", directory, task)


def entering_command(machine: Machine, directory: str, description: str) -> str:
    """The command of the host before another one that becomes that, in a host's environment.

    Args:
        machine: The host's machine.
        directory: The deployment's directory there.
        description: The file there that describes the host.
    """
    return _python(machine, f"{directory}/lib/optiprov/deploy/remote/entering.py", description)


def _python(machine: Machine, *arguments: str) -> str:
    # The shell that sshd starts gives way: one process less between it and the task.
    return f"exec {machine.python} {shlex.join([*_FLAGS, *arguments])}"


@lru_cache(maxsize=1)
def _sources() -> dict[str, str]:
    shipped = {name: (_PACKAGE / name).read_text(encoding="utf-8") for name in SHIPPED}
    return {**dict.fromkeys(_EMPTY, ""), **shipped}
