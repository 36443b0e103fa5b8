"""The commands that the README of an experiment tells to type."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.waiting import PATIENCE_S

_OURS = ("OPTIPROV_", "PROVLIGHT_")
_BLOCK = re.compile(r"^```shell\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def commands(readme):
    """Return all of its `shell` blocks, in order, as one script that stops at the first failure."""
    return "\n".join(["set -e", *_BLOCK.findall(Path(readme).read_text(encoding="utf-8"))])


def type_commands(readme, directory):
    """Type them in a directory, where `optiprov` is on the PATH; return what they print.

    Their exit status has to be 0.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-c", commands(readme)],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=3 * PATIENCE_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
